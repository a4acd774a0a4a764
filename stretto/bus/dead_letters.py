"""Dead letters: messages that nobody can process, kept whole for an operator."""

import hashlib
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pydantic import AwareDatetime

from stretto.bus.connection import Connection
from stretto.bus.delivery import Ack, Delivery
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import Conflict, DecodeError, TooLarge, Unverified
from stretto.bus.failpoints import reach
from stretto.bus.jetstream import Stored
from stretto.bus.message import Message
from stretto.bus.subjects import Subjects
from stretto.bus.wire import Wire

__all__ = ["DeadKind", "DeadLetter", "DeadLetters", "letter_id", "open_letter"]

DeadKind = Literal["undecodable", "unverified", "unprocessable", "exhausted"]
_SMALLER: tuple[tuple[str, dict[str, Any]], ...] = (
    ("", {}),
    ("; its headers are too many to be kept", {"headers": {}, "complete": False}),
    ("; it is too large to be kept", {"headers": {}, "data": b"", "complete": False}),
)
_BY_DELIVERY = "Nats-Pin-Id"
"""What the server adds to a message when it delivers it."""


class DeadLetter(Message):
    """One message that was given up.

    Attributes:
        origin: the subject it came on; stream, seq, at: which message of which stream it is, and when it was stored there.
        kind: `undecodable` (no message of ours), `unverified` (it says another origin than its subject), `unprocessable` (it is in order,
            but nothing can be done with it) or `exhausted` (delivered too often without an outcome).
        deliveries: how often it came, as far as is known.
        error: the class of the error that it met.
        reason: why, for people; holds nothing of the content.
        data, headers: the message itself, byte for byte; `complete` unless it was too large for a letter.
    """

    TYPE: ClassVar[str] = "dead_letter"
    VERSION: ClassVar[str] = "1.1"

    origin: str
    stream: str = ""
    seq: int
    at: AwareDatetime | None = None
    kind: DeadKind = "undecodable"
    deliveries: int
    error: str = ""
    reason: str
    data: bytes
    headers: dict[str, str]
    complete: bool = True


def letter_id(stream: str, seq: int, at: datetime) -> str:
    """The id of the letter about a message: whoever gives the message up, and however often, it has one letter.

    The time belongs to it: a queue whose server crashed may give a number to another message once more.
    """
    return hashlib.sha256(f"{stream} {seq} {at.astimezone(UTC).isoformat()}".encode()).hexdigest()[:16]


class DeadLetters:
    """Where messages are given up."""

    def __init__(self, *, connection: Connection, subjects: Subjects, wire: Wire, sender: str) -> None:
        self._connection = connection
        self._subjects = subjects
        self._wire = wire
        self._sender = sender

    async def bury(
        self, delivery: Delivery, reason: str, *, kind: DeadKind | None = None, error: Exception | None = None
    ) -> Ack:
        """Keep the message as a dead letter; only then may it be acknowledged, which the returned disposition does.

        Without `kind`, the error says it: `unverified` for `Unverified`, else `undecodable`.

        Raises:
            RetryLater, StreamMissing, NotPermitted: it could not be kept, so it must not be acknowledged.
        """
        message = Stored(delivery.subject, delivery.seq, delivery.at, delivery.data, delivery.headers)
        await self.keep(
            message,
            stream=delivery.stream,
            kind=kind or ("unverified" if isinstance(error, Unverified) else "undecodable"),
            reason=reason,
            error="" if error is None else type(error).__name__,
            deliveries=delivery.deliveries,
        )
        reach("dead.buried")
        return Ack()

    async def keep(
        self, message: Stored, *, stream: str, kind: DeadKind, reason: str, error: str = "", deliveries: int = 0
    ) -> str:
        """Keep a message that `stream` holds as a dead letter, unless it is kept already; return the letter's id. Raises as `bury`."""
        letter = DeadLetter(
            origin=message.subject,
            stream=stream,
            seq=message.seq,
            at=message.at,
            kind=kind,
            deliveries=deliveries,
            error=error,
            reason=reason,
            data=message.data,
            headers={name: value for name, value in message.headers.items() if name != _BY_DELIVERY},
        )
        name = letter_id(stream, message.seq, message.at)
        subject, packed = self._subjects.dead(letter.origin, name), await self._pack(letter)
        after = 0
        while True:
            try:
                await self._connection.jetstream.store(subject, packed, expect=after)
            except Conflict:
                there = await self._connection.jetstream.read(self._subjects.stream("DEAD"), subject)
                if any([await self._is_letter(one) for one in there]):
                    return name  # sent twice, or given up before by a process that died before it could acknowledge
                after = there[-1].seq if there else 0  # junk cannot stand in the way
            else:
                return name

    async def _pack(self, letter: DeadLetter) -> bytes:
        """The letter's bytes. One that passes a limit, as only a hostile message's can, is kept without what is too large."""
        problem: TooLarge | None = None
        for note, smaller in _SMALLER:
            fitting = letter.model_copy(update={**smaller, "reason": f"{letter.reason}{note}"})
            # The tenant and run of a message that cannot be read are unknown: its subject is kept, its claims are not believed.
            envelope = Envelope.of(fitting, tenant="unknown", run="unknown", sender=self._sender)
            try:
                return await self._wire.pack(envelope)
            except TooLarge as error:
                problem = error
        assert problem is not None  # noqa: S101 (else a letter was returned)
        raise problem

    async def _is_letter(self, stored: Stored) -> bool:
        try:
            envelope = await self._wire.unpack(stored.data, stored.headers)
            open_letter(envelope, subject=stored.subject, subjects=self._subjects)
        except DecodeError:
            return False
        return True


def open_letter(envelope: Envelope, *, subject: str, subjects: Subjects) -> DeadLetter:
    """The dead letter in an envelope that lies on `subject`.

    Raises:
        DecodeError: it is none.
        Unverified: it is about another message than its subject says.
    """
    letter = open_envelope(envelope, DeadLetter)
    if letter.at is None or subject != subjects.dead(letter.origin, letter_id(letter.stream, letter.seq, letter.at)):
        raise Unverified("the dead letter is about another message than its subject says")
    return letter
