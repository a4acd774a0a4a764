"""Run log: what is known of a run is what is stored below its subject, in the order in which it happened."""

from stretto.bus.connection import Connection
from stretto.bus.envelope import Body, Envelope, open_envelope
from stretto.bus.errors import Conflict, DecodeError
from stretto.bus.hops import Sending
from stretto.bus.jetstream import Stored
from stretto.bus.message import Message
from stretto.bus.subjects import RunKey, Subjects
from stretto.bus.tracing import headers_of
from stretto.bus.wire import Wire

__all__ = ["RunLog"]


class RunLog:
    """Appends to and reads the logs of runs."""

    def __init__(self, *, connection: Connection, subjects: Subjects, wire: Wire) -> None:
        self._connection = connection
        self._subjects = subjects
        self._wire = wire

    async def append(self, key: RunKey, subject: str, envelope: Envelope, *, after: int) -> int:
        """Append by compare-and-swap: only if `after` is still the sequence of the last message on `subject` (0: none).

        Raises:
            Conflict: somebody else appended. An append of one's own that was sent twice is no conflict: its sequence is returned.
        """
        packed = await self._wire.pack(envelope)
        if not subject.startswith(f"{self._subjects.run(key)}."):  # a step, of which the agent's own spans tell
            return await self._store(key, subject, packed, envelope, after, headers_of())
        kind = subject.split(".", 6)[5]
        with Sending(
            self._subjects.run_template(kind), tenant=key.tenant, run=key.run, message_id=envelope.id
        ) as sending:
            return await self._store(key, subject, packed, envelope, after, sending.headers)

    async def append_next(self, key: RunKey, subject: str, message: Message, envelope: Envelope, *, after: int) -> int:
        """As `append`, but what is no message of the type of `message`, which `envelope` holds, does not count: it is written behind junk.

        Raises:
            Conflict: somebody else appended one.
        """
        while True:
            try:
                return await self.append(key, subject, envelope, after=after)
            except Conflict:
                newer = [one for one in await self.all_on(key, subject) if one.seq > after]
                if not newer or any([await self.read(one, key, type(message)) for one in newer]):
                    raise
                after = newer[-1].seq

    async def write_once(self, key: RunKey, subject: str, message: Message, envelope: Envelope) -> bool:
        """Write the one message that counts on `subject`. True if it is this one, False if another was first.

        `envelope` holds `message`. What is no message of its type does not count: junk cannot stand in the way.
        """
        try:
            await self.append_next(key, subject, message, envelope, after=0)
        except Conflict:
            return False
        return True

    async def holds(self, key: RunKey, subject: str, body_type: type[Message]) -> bool:
        """Whether `subject` has a message of this type."""
        there = await self.last(key, subject)
        if there is None or await self.read(there, key, body_type):
            return there is not None
        # Junk was last: what counts may stand before it.
        return await self.first(key, subject, body_type) is not None

    async def fold(self, key: RunKey, *, from_seq: int = 1) -> list[Stored]:
        """Everything below the run from `from_seq` on (the request's sequence, where known: that makes it cheap)."""
        return await self._connection.jetstream.read(
            self._subjects.runs_stream(key.shard), f"{self._subjects.run(key)}.>", from_seq=from_seq
        )

    async def last(self, key: RunKey, subject: str) -> Stored | None:
        """The last message on one subject below the run."""
        return await self._connection.jetstream.last(self._subjects.runs_stream(key.shard), subject)

    async def all_on(self, key: RunKey, subject: str) -> list[Stored]:
        """Every message on one subject below the run, in order."""
        return await self._connection.jetstream.read(self._subjects.runs_stream(key.shard), subject)

    async def first(self, key: RunKey, subject: str, body_type: type[Body]) -> tuple[Envelope, Body] | None:
        """The first message of this type on one subject below the run: of what is written once it is the one that counts."""
        for stored in await self.all_on(key, subject):
            found = await self.read(stored, key, body_type)
            if found is not None:
                return found
        return None

    async def read(self, stored: Stored, key: RunKey, body_type: type[Body]) -> tuple[Envelope, Body] | None:
        """What is stored below the run, as a message of this type; None if it is none, or says another origin than its subject."""
        try:
            envelope = await self._wire.unpack(stored.data, stored.headers, defaults=stand_ins(stored, key))
            body = open_envelope(envelope, body_type)
        except DecodeError:
            return None
        counts = (envelope.tenant, envelope.run) == (key.tenant, key.run) and body.fits(stored.subject)
        return (envelope, body) if counts else None

    async def _store(
        self, key: RunKey, subject: str, packed: bytes, envelope: Envelope, after: int, headers: dict[str, str]
    ) -> int:
        try:
            return await self._connection.jetstream.store(subject, packed, expect=after, headers=headers)
        except Conflict:
            mine = await self._written_by(key, subject, envelope)
            if mine is None:
                raise
            return mine

    async def _written_by(self, key: RunKey, subject: str, envelope: Envelope) -> int | None:
        there = await self.last(key, subject)
        if there is None:
            return None
        try:
            found = await self._wire.unpack(there.data, there.headers, defaults=stand_ins(there, key))
        except DecodeError:
            return None  # junk was first
        return there.seq if found.id == envelope.id else None


def stand_ins(stored: Stored, key: RunKey, sender: str = "unknown") -> dict[str, str]:
    """What a message written by hand may leave out, taken from where and when it was stored."""
    return {
        "id": f"seq-{key.shard}-{stored.seq}",
        "tenant": key.tenant,
        "run": key.run,
        "sender": sender,
        "sent_at": stored.at.isoformat(),
    }
