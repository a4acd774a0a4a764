"""Settlements: what became of each dead letter: replayed or discarded, once."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Literal

from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import AlreadySettled, Conflict, DecodeError
from stretto.bus.jetstream import Stored
from stretto.bus.message import Message
from stretto.bus.subjects import Subjects, Token
from stretto.bus.wire import Wire

__all__ = ["LetterState", "Settlement", "Settlements", "Standing"]

LetterState = Literal["open", "replaying", "replayed", "discarded"]


class Settlement(Message):
    """What became of a dead letter. Each one is written behind the last one of its letter.

    Attributes:
        letter: the letter's id.
        state: `replaying` before the message is put back, `replayed` when it is; `open` takes back a replay that could not be.
    """

    TYPE: ClassVar[str] = "dead_letter_settlement"

    letter: Token
    state: LetterState


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a letter stands, since when, and by whom. `seq` is that of the last message about it, to write behind."""

    state: LetterState = "open"
    at: datetime | None = None
    by: str = ""
    seq: int = 0


class Settlements:
    """Reads and writes settlements, by compare-and-swap."""

    def __init__(self, *, connection: Connection, subjects: Subjects, wire: Wire, principal: str) -> None:
        self._connection = connection
        self._subjects = subjects
        self._wire = wire
        self._principal = principal
        self._stream = subjects.stream("DEAD")

    async def all(self) -> dict[str, Standing]:
        """Where each letter stands, by its id; one of which nothing is said is open."""
        head = self._subjects.dead_settled("x").removesuffix("x")
        found: dict[str, Standing] = {}
        for stored in await self._connection.jetstream.read(self._stream, f"{head}>"):
            letter = stored.subject.removeprefix(head)
            found[letter] = await self._after(found.get(letter, Standing()), stored, letter)
        return found

    async def of(self, letter: str) -> Standing:
        """Where one letter stands."""
        standing = Standing()
        for stored in await self._connection.jetstream.read(self._stream, self._subjects.dead_settled(letter)):
            standing = await self._after(standing, stored, letter)
        return standing

    async def write(self, letter: str, state: LetterState, *, allowed: tuple[LetterState, ...]) -> Standing:
        """Write what becomes of the letter, if it now stands in one of the `allowed` states; return where it stood.

        Raises:
            AlreadySettled: it stands elsewhere.
        """
        settlement = Settlement(letter=letter, state=state)
        envelope = Envelope.of(settlement, tenant="system", run="system", sender=self._principal)
        packed = await self._wire.pack(envelope)
        while True:
            now = await self.of(letter)
            if now.state not in allowed:
                raise AlreadySettled(_told(now))
            try:
                await self._connection.jetstream.store(self._subjects.dead_settled(letter), packed, expect=now.seq)
            except Conflict:
                if not await self._is_mine(letter, envelope):
                    continue
            return now

    async def _is_mine(self, letter: str, envelope: Envelope) -> bool:
        """Whether the last message about the letter is this one: it was sent twice."""
        last = await self._connection.jetstream.last(self._stream, self._subjects.dead_settled(letter))
        if last is None:
            return False
        try:
            return (await self._wire.unpack(last.data, last.headers)).id == envelope.id
        except DecodeError:
            return False

    async def _after(self, standing: Standing, stored: Stored, letter: str) -> Standing:
        """Where the letter stands after one more message. Junk counts for nothing, but is written behind."""
        try:
            envelope = await self._wire.unpack(stored.data, stored.headers)
            settlement = open_envelope(envelope, Settlement)
        except DecodeError:
            return replace(standing, seq=stored.seq)
        if settlement.letter != letter or standing.state in {"replayed", "discarded"}:
            return replace(standing, seq=stored.seq)
        return Standing(settlement.state, stored.at, envelope.sender, stored.seq)


def _told(standing: Standing) -> str:
    since = f"{standing.at.astimezone():%Y-%m-%d %H:%M:%S}" if standing.at else "before"
    match standing.state:
        case "open":
            return "the letter is neither replayed nor discarded"
        case "replaying":
            return f"a replay of the letter has begun, by {standing.by} ({since}): replay it again to have it finished"
        case state:
            return f"the letter was {state} already, by {standing.by} ({since}): that is done once"
