"""Consume: the one loop that pulls messages from a durable consumer and carries out what their handler decides."""

import asyncio
import contextlib
import json
import logging
from dataclasses import dataclass
from typing import Any

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from stretto.bus.connection import Connection
from stretto.bus.delivery import Delivery
from stretto.bus.errors import BusError
from stretto.bus.in_hand import Handler, InHand

__all__ = ["Consumer", "ConsumerOptions", "Handler"]

_log = logging.getLogger(__name__)
_NANOS = 1_000_000_000
_LAST_WORDS_S = 2.0
_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """Which consumer to pull from, and how.

    Attributes:
        slots: how many messages are handled at once.
        renew_s: renew the lease of a message in work this often; 0 leaves that to the handler.
        group: the priority group of a pinned consumer.
        expires_s: how long the server keeps a pull; it sends a heartbeat every `heartbeat_s` while it does.
    """

    stream: str
    consumer: str
    slots: int
    renew_s: float = 0.0
    group: str | None = None
    expires_s: float = 30.0
    heartbeat_s: float = 5.0


class Consumer:
    """Pulls for exactly the free slots, while work goes on; again after missed heartbeats and reconnects.

    `run` returns after `stop`, when the work in hand is done; what no handler has begun is given back at once. Cancelling `run` cancels
    the work too and gives its messages back, those of handlers that do not end within two seconds included. See `InHand`.
    """

    def __init__(self, *, connection: Connection, options: ConsumerOptions) -> None:
        self._connection = connection
        self._options = options
        self._in_hand: InHand | None = None
        self._asked = 0
        self._pin: str | None = None
        self._paused_until = 0.0
        self._last_sign = 0.0
        self._stopping = asyncio.Event()
        self._nudge = asyncio.Event()
        self._inbox = connection.client.new_inbox()

    @property
    def busy(self) -> int:
        """Messages in hand."""
        return 0 if self._in_hand is None else len(self._in_hand)

    @property
    def pinned(self) -> bool:
        """Whether the server delivered to this one last, as far as is known here."""
        return self._pin is not None

    def stop(self) -> None:
        """Take in no more; work in hand goes on."""
        self._stopping.set()
        self._nudge.set()
        if self._in_hand is not None:
            self._in_hand.take_no_more()

    async def hand_over(self, pause_s: float) -> None:
        """Give the pin to another waiting process, and pull no more for `pause_s`."""
        self._paused_until = _now() + pause_s
        await self._unpin()

    async def run(self, handler: Handler) -> None:
        """Handle messages until `stop`."""
        options = self._options
        self._in_hand = InHand(handler=handler, slots=options.slots, renew_s=options.renew_s, on_change=self._look)
        async with asyncio.TaskGroup() as beside:
            renewing = beside.create_task(self._in_hand.keep())
            try:
                await self._take_in(self._in_hand)
            finally:
                renewing.cancel()

    async def _take_in(self, in_hand: InHand) -> None:
        async with asyncio.TaskGroup() as tasks:

            async def receive(msg: Msg) -> None:
                self._last_sign = _now()
                if not msg.reply.startswith("$JS.ACK."):
                    if msg.headers and "Status" in msg.headers:
                        self._take_status(msg)
                    return
                self._asked = max(0, self._asked - 1)
                if msg.headers and "Nats-Pin-Id" in msg.headers:
                    self._pin = msg.headers["Nats-Pin-Id"]
                in_hand.take(Delivery.of(msg, self._connection), tasks)

            subscription = await self._connection.subscribe(f"{self._inbox}.*", receive)
            forget = self._connection.on_reconnect(self._pull_afresh)
            try:
                await self._pull_until_stopped()
                # What is on its way is given back: else it would lie until its lease ends.
                await self._connection.drain(subscription)
                while in_hand:
                    self._nudge.clear()
                    await self._nudge.wait()
                await self._let_go()
            except asyncio.CancelledError:
                await in_hand.break_off()
                raise
            finally:
                forget()
                with contextlib.suppress(NatsError):
                    await subscription.unsubscribe()

    async def _let_go(self) -> None:
        """Whoever waits for the pin need not wait for its end."""
        if self._pin and self._connection.is_connected:
            with contextlib.suppress(BusError, TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._unpin()

    async def _unpin(self) -> None:
        self._pin = None
        await self._connection.jetstream.api(
            f"CONSUMER.UNPIN.{self._options.stream}.{self._options.consumer}", {"group": self._options.group}
        )

    async def _pull_until_stopped(self) -> None:
        number = 0
        self._last_sign = _now()
        while not self._stopping.is_set():
            self._nudge.clear()
            if _now() - self._last_sign > 2 * self._options.heartbeat_s + 1:
                self._pull_afresh()
            wanted = self._wanted()
            # While disconnected a pull would only be kept, to be sent beside the one that a reconnect brings.
            if wanted and self._connection.is_connected and _now() >= self._paused_until:
                number += 1
                await self._pull(number, wanted)
            pause_s = self._paused_until - _now()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s if pause_s > 0 else self._options.heartbeat_s):
                    await self._nudge.wait()

    def _wanted(self) -> int:
        """For how many messages to pull now."""
        free = self._options.slots - self.busy - self._asked
        # A pull for a few slots costs as much as one for many: wait until a quarter of them is free.
        return free if free > 0 and (free * 4 >= self._options.slots or not self._asked) else 0

    async def _pull(self, number: int, batch: int) -> None:
        options = self._options
        pull: dict[str, Any] = {
            "batch": batch,
            "expires": int(options.expires_s * _NANOS),
            "idle_heartbeat": int(options.heartbeat_s * _NANOS),
        }
        if options.group:
            pull["group"] = options.group
            if self._pin:
                pull["id"] = self._pin
        self._asked += batch
        try:
            await self._connection.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{options.stream}.{options.consumer}",
                json.dumps(pull).encode(),
                reply=f"{self._inbox}.{number}",
            )
        except BusError as error:  # disconnected for long: the reconnect pulls afresh
            self._asked = 0
            _log.debug("pull from %s: %s", options.stream, error)

    def _pull_afresh(self) -> None:
        """Whatever was asked for is lost: a new connection, or a server that says nothing any more."""
        self._asked = 0
        self._last_sign = _now()
        self._nudge.set()

    def _take_status(self, msg: Msg) -> None:
        headers = msg.headers or {}
        status = headers["Status"]
        if status == "100":  # idle heartbeat
            return
        unfilled = int(headers.get("Nats-Pending-Messages", 0))
        self._asked = max(0, self._asked - unfilled) if unfilled else 0
        if status == "423":  # the pin is somebody else's now: wait in line for it
            self._pin = None
        elif status == "409":  # the server goes away, or too many wait for this consumer: no spinning
            self._paused_until = max(self._paused_until, _now() + _PAUSE_S)
        elif status not in {"404", "408"}:
            # 503: the stream or its consumer is not there yet. Whatever it is: no spinning.
            _log.log(
                logging.DEBUG if status == "503" else logging.WARNING, "pull from %s: %s", self._options.stream, status
            )
            self._paused_until = max(self._paused_until, _now() + _PAUSE_S)
        self._nudge.set()

    def _look(self) -> None:
        if self._stopping.is_set() or self._wanted():
            self._nudge.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
