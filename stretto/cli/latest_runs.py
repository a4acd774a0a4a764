"""latest_runs: what was asked lately and what became of it, read from the ends of the runs' own logs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.envelope import Body, open_envelope
from stretto.bus.errors import DecodeError, StreamMissing
from stretto.bus.jetstream import Stored
from stretto.bus.run_log import stand_ins
from stretto.bus.subjects import RunSubject
from stretto.bus.wire import Wire
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.request import Request
from stretto.shared.requester import Requester
from stretto.shared.settings import Settings

__all__ = ["ListedRun", "latest_runs", "with_questions"]

_TAIL: Final = 5_000
"""So many of a shard's last messages are looked at: a long history is not read through for a list of the latest runs."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run of the list."""

    run: str
    asked_at: datetime
    principal: str
    text: str
    answer: Answer | None
    ended_at: datetime | None
    questions: Sequence[str] = ()

    @property
    def state(self) -> str:
        """How it ended; `waiting` while a person is asked something, else `open`."""
        return self.answer.state if self.answer else "waiting" if self.questions else "open"

    @property
    def seconds(self) -> float | None:
        return (self.ended_at - self.asked_at).total_seconds() if self.ended_at else None


async def latest_runs(settings: Settings, connection: Connection) -> list[ListedRun]:
    """The tenant's latest runs, newest first; without their questions.

    Raises:
        StreamMissing: no supervisor has ever run for this prefix.
    """
    reader = _Reader(settings, connection)
    runs = [run for shard in range(settings.shards) for run in await reader.runs(shard)]
    return sorted(runs, key=lambda run: run.asked_at, reverse=True)


async def with_questions(requester: Requester, runs: Sequence[ListedRun]) -> list[ListedRun]:
    """The runs with what those that are open ask a person."""
    found: list[ListedRun] = []
    for run in runs:
        asked = [] if run.answer else await requester.questions_of(run.run)
        found.append(replace(run, questions=[one.question.id for one in asked if one.is_open]))
    return found


class _Reader:
    """Reads the ends of the shards."""

    def __init__(self, settings: Settings, connection: Connection) -> None:
        self._tenant = settings.tenant
        self._connection = connection
        self._subjects = settings.deployment.subjects
        self._wire = Wire(artifacts=Artifacts(connection=connection, subjects=self._subjects))

    async def runs(self, shard: int) -> list[ListedRun]:
        stream = self._subjects.runs_stream(shard)
        found = await self._connection.jetstream.api(f"STREAM.INFO.{stream}")
        if "error" in found:
            raise StreamMissing(f"there is no stream {stream}: is a supervisor running for this prefix?")
        from_seq = max(1, int(found["state"]["last_seq"]) - _TAIL)
        runs = f"{self._subjects.prefix}.run.{shard}.{self._tenant}.*"
        answers: dict[str, tuple[Answer, datetime]] = {}
        for stored in await self._connection.jetstream.read(stream, f"{runs}.answer", from_seq=from_seq):
            opened = await self._open(stored, Answer)
            if opened is not None:
                answers.setdefault(opened[0].key.run, (opened[1], stored.at))
        listed: dict[str, ListedRun] = {}
        for stored in await self._connection.jetstream.read(stream, f"{runs}.request.*", from_seq=from_seq):
            request = await self._open(stored, Request)
            if request is not None:
                where, message = request
                answer, ended_at = answers.get(where.key.run, (None, None))
                run = ListedRun(where.key.run, stored.at, where.tail[0], message.text, answer, ended_at)
                listed.setdefault(run.run, run)
        return list(listed.values())

    async def _open(self, stored: Stored, kind: type[Body]) -> tuple[RunSubject, Body] | None:
        """None for junk, which counts for nothing."""
        try:
            where = self._subjects.parse_run(stored.subject)
            envelope = await self._wire.unpack(stored.data, stored.headers, defaults=stand_ins(stored, where.key))
            return where, open_envelope(envelope, kind)
        except (DecodeError, ValueError):
            return None
