"""Conversations: what runs have added to them, stored on the bus: one message a turn, written once."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import Conflict, DecodeError, StreamMissing
from stretto.bus.jetstream import Stored
from stretto.bus.subjects import Subjects
from stretto.bus.wire import Wire
from stretto.shared.context.cut import cut_to_chars
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.conversation import Turn
from stretto.shared.contracts.request import Request

__all__ = ["Conversations", "turn_of"]

_ANSWER_CHARS: Final = 16_000
_MARKER: Final = re.compile(r" ?\[\d{1,3}\]")


def turn_of(run: str, request: Request, answer: Answer, at: datetime) -> Turn | None:
    """What the run adds to its conversation; None where it adds nothing: it did not complete."""
    if answer.state != "completed":
        return None
    text = _MARKER.sub("", answer.text) if answer.citations else answer.text
    return Turn(
        run=run,
        request=cut_to_chars(request.text, _ANSWER_CHARS),
        answer=cut_to_chars(text, _ANSWER_CHARS),
        answered=answer.answered,
        at=at,
    )


@dataclass(frozen=True, slots=True)
class Conversations:
    """The conversations of one tenant. What lies there and is no turn counts for nothing."""

    connection: Connection
    subjects: Subjects
    wire: Wire
    tenant: str
    sender: str = "unknown"

    async def add(self, conversation: str, turn: Turn) -> None:
        """Write the turn, unless its run has one already.

        Raises:
            TimedOut, Busy: it is not known to be written; doing it again is harmless.
        """
        subject = self.subjects.turn(self.tenant, conversation, turn.run)
        envelope = Envelope.of(turn, tenant=self.tenant, run=turn.run, sender=self.sender)
        after = 0
        while True:
            try:
                await self.connection.jetstream.store(subject, await self.wire.pack(envelope), expect=after)
            except Conflict:
                there = await self._stored(subject, from_seq=after + 1)
                if not there or any([await self._read(one) for one in there]):
                    return
                after = there[-1].seq
            else:
                return

    async def turns(self, conversation: str) -> list[Turn]:
        """All that is known of the conversation, oldest first; nothing where there is no such conversation."""
        found: dict[str, Turn] = {}
        for stored in await self._stored(self.subjects.turns(self.tenant, conversation)):
            turn = await self._read(stored)
            if turn is not None:
                found.setdefault(turn.run, turn)
        return list(found.values())

    async def names(self) -> dict[str, int]:
        """The tenant's conversations, each with how many turns it has at the most."""
        stream = self.subjects.stream("TURNS")
        pattern = self.subjects.turns(self.tenant, "x").replace(".x.*", ".*.*")
        subjects: dict[str, int] = {}
        while True:
            asked = {"subjects_filter": pattern, "offset": len(subjects)}
            info = await self.connection.jetstream.api(f"STREAM.INFO.{stream}", asked)
            if "error" in info:
                raise StreamMissing(f"there is no stream {stream}: is a supervisor running for this prefix?")
            more: dict[str, int] = info["state"].get("subjects") or {}
            subjects |= more
            if not more or len(subjects) >= int(info.get("total", 0)):
                break
        names: dict[str, int] = {}
        for subject in subjects:
            name = subject.split(".")[-2]
            names[name] = names.get(name, 0) + 1
        return names

    async def _stored(self, pattern: str, from_seq: int = 1) -> list[Stored]:
        return await self.connection.jetstream.read(self.subjects.stream("TURNS"), pattern, from_seq=from_seq)

    async def _read(self, stored: Stored) -> Turn | None:
        run = stored.subject.rsplit(".", 1)[-1]
        try:
            envelope = await self.wire.unpack(stored.data, stored.headers)
            turn = open_envelope(envelope, Turn)
        except DecodeError:
            return None
        return turn if (envelope.tenant, envelope.run, turn.run) == (self.tenant, run, run) else None
