"""Pulse: what happened in a deployment within the last minute, as the server repeats it to those who listen."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from nats.aio.msg import Msg

from stretto.bus.agent_card import SUPERVISOR_ROLE
from stretto.bus.codec import CONTENT_TYPE, decode
from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope
from stretto.bus.errors import DecodeError
from stretto.bus.subjects import RunSubject, Subjects

__all__ = ["MINUTE_S", "Happening", "Pulse", "Rate", "listening"]

MINUTE_S: Final = 60
_KEPT: Final = 50
_KINDS: Final = ("result.>", "question.>", "answer")
_LEAST_S: Final = 5.0
"""What came within less than that says nothing of a minute."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that somebody may want to look into; `run` is whole."""

    at: datetime
    run: str
    text: str


@dataclass(frozen=True, slots=True)
class Rate:
    """Of supervisors runs, of others attempts at tasks.

    Attributes:
        done_per_min: how many went well, by the last minute, or by the time since somebody listens.
        failed: within the last minute.
    """

    done_per_min: float = 0.0
    failed: int = 0


class Pulse:
    """Counts results and answers from `since` on, and keeps what did not go well. What it misses it does not count: it only listens."""

    def __init__(self, *, since: datetime) -> None:
        self._since = since
        self._seconds: dict[int, Counter[tuple[str, bool]]] = {}
        self._happenings: deque[Happening] = deque(maxlen=_KEPT)

    def take(self, subject: RunSubject, envelope: Envelope, *, now: datetime) -> None:
        """Take what was stored below a run."""
        body, run = envelope.body, subject.key.run
        match subject.kind:
            case "result":
                role, task, attempt = subject.tail
                failure = body.get("failure")
                self._count(role, went_well=failure is None, now=now)
                if isinstance(failure, dict):
                    error = str(failure.get("error", "unknown"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # a body
                    self._note(now, run, f"{role} {task}, attempt {attempt}, failed: {error}")
            case "question":
                role, task, *_ = subject.tail
                self._note(now, run, f"{role} {task} asks a person")
            case "answer":
                state = str(body.get("state", "failed"))
                self._count(SUPERVISOR_ROLE, went_well=state == "completed", now=now)
                if state != "completed":
                    self._note(now, run, f"the run is {state}" if state != "failed" else "the run failed")
            case _:
                pass

    def note(self, text: str, *, now: datetime) -> None:
        """Keep something that belongs to no run."""
        self._note(now, "", text)

    def rates(self, now: datetime) -> dict[str, Rate]:
        """By role."""
        second = int(now.timestamp())
        self._seconds = {at: counted for at, counted in self._seconds.items() if at > second - MINUTE_S}
        total: Counter[tuple[str, bool]] = Counter()
        for counted in self._seconds.values():
            total += counted
        over_s = min(MINUTE_S, max(_LEAST_S, (now - self._since).total_seconds()))
        return {role: Rate(total[role, True] * MINUTE_S / over_s, total[role, False]) for role, _ in total}

    def happenings(self) -> Sequence[Happening]:
        """The newest first."""
        return tuple(reversed(self._happenings))

    def _count(self, role: str, *, went_well: bool, now: datetime) -> None:
        self._seconds.setdefault(int(now.timestamp()), Counter())[role, went_well] += 1

    def _note(self, at: datetime, run: str, text: str) -> None:
        self._happenings.append(Happening(at, run, text))


@contextlib.asynccontextmanager
async def listening(connection: Connection, subjects: Subjects, pulse: Pulse) -> AsyncGenerator[None]:
    """Have `pulse` take what comes, within the block."""
    log = f"{subjects.prefix}.log."
    async with (
        connection.listen(*(f"{log}*.*.*.{kind}" for kind in _KINDS)) as incoming,
        asyncio.TaskGroup() as group,
    ):
        taking = group.create_task(_take(incoming, subjects, pulse, log))
        try:
            yield
        finally:
            taking.cancel()


async def _take(incoming: asyncio.Queue[Msg], subjects: Subjects, pulse: Pulse, log: str) -> None:
    while True:
        msg = await incoming.get()
        try:
            subject = subjects.parse_run(f"{subjects.prefix}.run.{msg.subject.removeprefix(log)}")
            # Not fetched from the object store: only its state and its failure are looked at, and these are small.
            envelope = decode(msg.data, content_type=(msg.headers or {}).get(CONTENT_TYPE))
        except (DecodeError, ValueError):  # junk counts for nothing
            continue
        pulse.take(subject, envelope, now=datetime.now(UTC))
