"""TenantLogs: reads the logs of one tenant's runs: one of them whole, or what all of them have of a kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope
from stretto.bus.errors import DecodeError, StreamMissing
from stretto.bus.jetstream import Stored
from stretto.bus.run_log import RunLog, stand_ins
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey, RunSubject, TaskKey
from stretto.bus.wire import Wire

__all__ = ["Place", "RunMessage", "TenantLogs"]

_AT_ONCE: Final = 500
"""Subjects of one read: the server takes a thousand, and a question has a size limit too."""


@dataclass(frozen=True, slots=True)
class RunMessage:
    """One stored message of a run: a fact."""

    subject: RunSubject
    seq: int
    at: datetime
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Place:
    """A subject below a run on which something is stored.

    Attributes:
        name: the whole subject.
        messages: how many there are on it; more than one where junk, or a write without its condition, came first.
    """

    name: str
    subject: RunSubject
    messages: int


class TenantLogs:
    """What is stored of a tenant's runs (`*`: of all tenants'). Messages that cannot be read are left out; supervisors dead-letter them."""

    def __init__(self, *, connection: Connection, deployment: Deployment, wire: Wire, tenant: str) -> None:
        self._connection = connection
        self._deployment = deployment
        self._subjects = deployment.subjects
        self._wire = wire
        self._log = RunLog(connection=connection, subjects=self._subjects, wire=wire)
        self._tenant = tenant

    @property
    def shards(self) -> range:
        return range(self._deployment.shards)

    async def of_run(self, key: RunKey, from_seq: int = 1) -> list[RunMessage]:
        """What is stored of one run, in order."""
        return await self.opened(await self._log.fold(key, from_seq=from_seq))

    async def places(self, shard: int, kind: str) -> list[Place]:
        """Where the tenant's runs of a shard have something of this kind, such as `answer` or `command.*.*`, without reading any of it.

        It asks the stream for its subjects: tens of milliseconds for a hundred thousand, during which the stream takes no writes.

        Raises:
            StreamMissing: there is no such shard.
        """
        pattern = f"{self._subjects.prefix}.run.{shard}.{self._tenant}.*.{kind}"
        found: dict[str, int] = {}
        stream = self._subjects.runs_stream(shard)
        while True:
            asked = {"subjects_filter": pattern, "offset": len(found)}
            info = await self._connection.jetstream.api(f"STREAM.INFO.{stream}", asked)
            if "error" in info:
                raise StreamMissing(f"there is no stream {stream}: is a supervisor running for this prefix?")
            more: dict[str, int] = info["state"].get("subjects") or {}
            found |= more
            if not more or len(found) >= int(info.get("total", 0)):
                return [place for name, count in found.items() if (place := self._place(name, count)) is not None]

    def result_of(self, question: RunSubject) -> Place:
        """Where the result is, once there is one, of the attempt that asked at this place."""
        role, task, attempt, _ = question.tail
        name = self._subjects.result(TaskKey(question.key, role, task, int(attempt)))
        return Place(name, self._subjects.parse_run(name), 1)

    async def at(self, shard: int, places: Sequence[Place]) -> list[RunMessage]:
        """What is stored at these places of a shard, in order."""
        stream = self._subjects.runs_stream(shard)
        single = [place.name for place in places if place.messages == 1]
        found: list[Stored] = []
        for first in range(0, len(single), _AT_ONCE):
            found += await self._connection.jetstream.last_of(stream, single[first : first + _AT_ONCE])
        for place in places:
            if place.messages > 1:
                found += await self._connection.jetstream.read(stream, place.name)
        return sorted(await self.opened(found), key=lambda one: one.seq)

    async def opened(self, log: Sequence[Stored]) -> list[RunMessage]:
        """Those of these messages that can be read, and say the origin that their subject says: others count for nothing."""
        facts: list[RunMessage] = []
        for stored in log:
            try:
                subject = self._subjects.parse_run(stored.subject)
                by = subject.tail[0] if subject.kind in {"request", "command"} else "unknown"
                defaults = stand_ins(stored, subject.key, by)
                envelope = await self._wire.unpack(stored.data, stored.headers, defaults=defaults)
            except (ValueError, DecodeError):
                continue
            said = (envelope.tenant, envelope.run, envelope.sender if by != "unknown" else by)
            if said == (subject.key.tenant, subject.key.run, by):
                facts.append(RunMessage(subject, stored.seq, stored.at, envelope))
        return facts

    def _place(self, name: str, messages: int) -> Place | None:
        try:
            return Place(name, self._subjects.parse_run(name), messages)
        except ValueError:  # no subject of ours: counts for nothing
            return None
