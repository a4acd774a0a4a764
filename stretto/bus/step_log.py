"""Step log: where the steps of one attempt are stored, beside the log of its run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope
from stretto.bus.jetstream import Stored
from stretto.bus.journal import Entry
from stretto.bus.message import Message
from stretto.bus.run_log import RunLog
from stretto.bus.step import Intent, Step
from stretto.bus.subjects import Subjects, TaskKey
from stretto.bus.wire import Wire

__all__ = ["Found", "StepLog"]

_PLACE = re.compile(r"(0|[1-9][0-9]{0,8})(\.intent)?")
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored of an attempt.

    Attributes:
        over: it has its result, or the run its answer: there is nothing left to do.
        steps, intents: in the order in which they were stored.
        headers: of what stands at each position: they say in which span it was recorded.
    """

    over: bool
    steps: tuple[Step, ...] = ()
    intents: tuple[Intent, ...] = ()
    headers: Mapping[int, Mapping[str, str]] = field(default_factory=dict[int, Mapping[str, str]])


class StepLog:
    """Reads and writes the entries of one attempt.

    Args:
        sender: who writes; cause: the id of the message that asked for the attempt.
    """

    def __init__(
        self, *, connection: Connection, subjects: Subjects, wire: Wire, key: TaskKey, sender: str, cause: str
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._wire = wire
        self._key = key
        self._sender = sender
        self._cause = cause
        self._log = RunLog(connection=connection, subjects=subjects, wire=wire)

    async def look(self, *, result: type[Message], answer: type[Message]) -> Found:
        """See how far the attempt came: one direct get, unless somebody wrote what does not belong there.

        Args:
            result, answer: what an attempt's result and a run's answer are.

        Raises:
            RetryLater, StreamMissing: see `stretto.bus.errors`.
        """
        ends = {self._subjects.result(self._key): result, self._subjects.answer(self._key.run): answer}
        stream = self._subjects.runs_stream(self._key.run.shard)
        found = await self._connection.jetstream.last_of(stream, [*ends, self._subjects.steps(self._key)])
        entries: list[Step | Intent] = []
        headers: dict[int, Mapping[str, str]] = {}
        for stored in found:
            if stored.subject in ends:
                if await self._stands(stored, ends[stored.subject]):
                    return Found(over=True)
                continue
            entry = await self._entry(stored)
            if entry is not None:
                entries.append(entry)
                headers[entry.position] = stored.headers
        return Found(
            over=False,
            steps=tuple(one for one in entries if isinstance(one, Step)),
            intents=tuple(one for one in entries if isinstance(one, Intent)),
            headers=headers,
        )

    async def write(self, entry: Entry, *, message_id: str) -> tuple[Entry, bool]:
        """Write the entry, once. Returned is what stands there now, and whether that is this one."""
        subject = self._subject(entry)
        run = self._key.run
        envelope = Envelope.of(
            entry, tenant=run.tenant, run=run.run, sender=self._sender, cause=self._cause, message_id=message_id
        )
        if await self._log.write_once(run, subject, entry, envelope):
            return entry, True
        there = await self._log.first(run, subject, type(entry))
        if there is None:  # refused because of one that is gone now: an operator purged the stream
            return await self.write(entry, message_id=message_id)
        return there[1].model_copy(update={"position": entry.position}), there[0].id == message_id

    async def _stands(self, stored: Stored, body_type: type[Message]) -> bool:
        if await self._log.read(stored, self._key.run, body_type) is not None:
            return True
        # Junk was last: what counts may stand before it.
        return await self._log.first(self._key.run, stored.subject, body_type) is not None

    async def _entry(self, stored: Stored) -> Step | Intent | None:
        place = _PLACE.fullmatch(stored.subject.removeprefix(self._subjects.steps(self._key).removesuffix(">")))
        if place is None:
            return None
        body_type: type[Step | Intent] = Intent if place[2] else Step
        # What was written where nothing was is the first. Of anything else the server only showed the last.
        if stored.headers.get(_EXPECTED) == "0":
            read = await self._log.read(stored, self._key.run, body_type)
        else:
            read = await self._log.first(self._key.run, stored.subject, body_type)
        # As all that is stored below a run, it is what its subject says.
        return read[1].model_copy(update={"position": int(place[1])}) if read else None

    def _subject(self, entry: Step | Intent) -> str:
        place = self._subjects.intent if isinstance(entry, Intent) else self._subjects.step
        return place(self._key, entry.position)
