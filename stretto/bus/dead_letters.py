"""Dead letters: messages that nobody can process, kept whole for an operator."""

from typing import ClassVar

from stretto.bus.connection import Connection
from stretto.bus.delivery import Ack, Delivery
from stretto.bus.envelope import Envelope
from stretto.bus.message import Message
from stretto.bus.subjects import Subjects
from stretto.bus.wire import Wire

__all__ = ["DeadLetter", "DeadLetters"]


class DeadLetter(Message):
    """One message that was given up.

    Attributes:
        origin: the subject it came on; seq: its sequence in the stream it came from.
        reason: why, for people; holds nothing of the content.
        data, headers: the message itself, byte for byte.
    """

    TYPE: ClassVar[str] = "dead_letter"

    origin: str
    seq: int
    deliveries: int
    reason: str
    data: bytes
    headers: dict[str, str]


class DeadLetters:
    """Where messages are given up."""

    def __init__(self, *, connection: Connection, subjects: Subjects, wire: Wire, sender: str) -> None:
        self._connection = connection
        self._subjects = subjects
        self._wire = wire
        self._sender = sender

    async def bury(self, delivery: Delivery, reason: str) -> Ack:
        """Keep the message as a dead letter; only then may it be acknowledged, which the returned disposition does."""
        letter = DeadLetter(
            origin=delivery.subject,
            seq=delivery.seq,
            deliveries=delivery.deliveries,
            reason=reason,
            data=delivery.data,
            headers=delivery.headers,
        )
        # The tenant and run of a message that cannot be read are unknown: its subject is kept, its claims are not believed.
        envelope = Envelope.of(letter, tenant="unknown", run="unknown", sender=self._sender)
        await self._connection.jetstream.store(self._subjects.dead(delivery.subject), await self._wire.pack(envelope))
        return Ack()
