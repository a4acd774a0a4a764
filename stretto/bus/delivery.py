"""Delivery: one message as a consumer gets it, and what its handler may say about it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nats.aio.msg import Msg

from stretto.bus.connection import Connection

__all__ = ["Ack", "Delivery", "Disposition", "Hold", "Nak"]

_NANOS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ack:
    """Done: never deliver it again."""


@dataclass(frozen=True, slots=True)
class Nak:
    """Not done: deliver it again after `delay_s`. Never at once: that would spin."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Left unacknowledged on purpose: the handler's owner renews it and acknowledges it later."""


Disposition = Ack | Nak | Hold


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it came, and what can be said to the server about it.

    Attributes:
        seq: its sequence in the stream; `at`: the server's time of storing it.
        delivery: its place in the consumer's order of deliveries, without gaps when one process gets them all.
        deliveries: how often it came. A hint only: a server crash sets it back to one.
    """

    subject: str
    data: bytes
    headers: dict[str, str]
    seq: int
    delivery: int
    deliveries: int
    at: datetime
    _reply: str
    _connection: Connection

    @property
    def stream(self) -> str:
        """The stream that it comes from."""
        tokens = self._reply.split(".")
        return tokens[2 if len(tokens) == 9 else 4]

    @property
    def consumer(self) -> str:
        """The durable consumer that delivered it."""
        tokens = self._reply.split(".")
        return tokens[3 if len(tokens) == 9 else 5]

    async def ack(self) -> None:
        """Say that it is done. Not fenced: it counts even after the lease has run out, so it must mean no more."""
        await self._connection.publish(self._reply, b"+ACK")

    async def nak(self, delay_s: float) -> None:
        """Ask for it again after `delay_s`."""
        await self._connection.publish(self._reply, b'-NAK {"delay": %d}' % int(delay_s * _NANOS))

    async def renew(self) -> None:
        """Keep the lease: it stays ours for another ack wait from now."""
        await self._connection.publish(self._reply, b"+WPI")

    @classmethod
    def of(cls, msg: Msg, connection: Connection) -> "Delivery":
        """Read the acknowledgement subject (ADR-15).

        `$JS.ACK[.domain.account].stream.consumer.deliveries.seq.delivery.nanos.pending[.random]`
        """
        tokens = msg.reply.split(".")
        first = 4 if len(tokens) == 9 else 6
        deliveries, seq, delivery, nanos = (int(token) for token in tokens[first : first + 4])
        return cls(
            subject=msg.subject,
            data=msg.data,
            headers=dict(msg.headers or {}),
            seq=seq,
            delivery=delivery,
            deliveries=deliveries,
            # Cut to microseconds in whole numbers, as `Stored.at` is: both must tell the same time of the same message.
            at=datetime.fromtimestamp(nanos // _NANOS, UTC) + timedelta(microseconds=nanos % _NANOS // 1_000),
            _reply=msg.reply,
            _connection=connection,
        )
