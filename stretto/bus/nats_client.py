"""NatsClient: nats-py's client, made safe against hostile bytes and broken networks."""

import asyncio
import logging
import socket
import sys
from typing import Any, cast

from nats.aio.client import DEFAULT_FLUSH_TIMEOUT, Client, Srv
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.errors import AuthorizationError, OutboundBufferLimitError, ProtocolError
from nats.errors import Error as NatsError
from nats.protocol.parser import AUTHORIZATION_VIOLATION, PERMISSIONS_ERR, STALE_CONNECTION

__all__ = ["NatsClient"]

_log = logging.getLogger(__name__)
_SILENCE_LIMIT_MS = 20_000
_CLOSE_LIMIT_S = 2.0
_PING = b"PING\r\n"


class NatsClient(Client):
    """As `nats.aio.client.Client`, with these holes closed.

    Against bytes:
    * Headers or a subject that cannot be decoded end nats-py's read loop for good, while `is_connected` stays true: anybody who may
      publish could make every reader deaf with a few bytes. Here such headers are left out, and such a subject is read with U+FFFD in
      it: the message is then refused like any other junk.
    * So does the answer to a ping that nobody waits for any more. Here it counts as an answer, and should the read loop ever end
      otherwise than by a loss of the connection, the connection is made anew.
    * An error that the server sends (an expired login, too many connections) closes nats-py for good. Here it is told, and the
      connection is made anew: a service outlives its server's bad days.

    Against networks:
    * A peer that vanishes while the send buffer is full makes nats-py's reconnect and close wait for ever (nats.py issue 671), and its
      ping with them, which should have noticed. Here a lost connection is aborted, and nothing waits for room in that buffer.
    * Nor does `publish`, which in nats-py swallows a cancellation there and takes the message all the same: ask `is_full` before.
    * A failed attempt to reconnect leaves its read loop behind, which then reads into the next one's. Here it is ended first.
    * A flush asks for its answer before it sends what is to be flushed. Here it is the other way round. And in Python 3.11 its wait loses a
      cancellation that comes together with the answer: who drains a subscription when the process is told to stop would go on. Not here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._closing = False

    # Hostile bytes

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except Exception as error:  # noqa: BLE001 (hostile bytes raise anything; here it would end the read loop)
            _log.warning("a message's headers cannot be read (%s): they are left out", type(error).__name__)
            return None

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # As nats-py's, which looks at every character of every name by itself: that took longer than the rest of the message.
        found: dict[str, str] = {}
        for line in raw.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon and name.isascii():
                words = name.decode().split()
                if len(words) == 1:
                    found[words[0]] = value.strip().decode("utf-8", "replace")
        return found

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Any:
        return super()._build_message(sid, _readable(subject), _readable(reply), data, headers)

    async def _process_pong(self) -> None:
        if self._pongs:
            waiting = cast("asyncio.Future[bool]", self._pongs.pop(0))
            if not waiting.done():
                waiting.set_result(True)
            self._pongs_received += 1
            self._pings_outstanding = 0

    async def _process_err(self, err_msg: str) -> None:
        if STALE_CONNECTION in err_msg or PERMISSIONS_ERR in err_msg:
            await super()._process_err(err_msg)
            return
        refused = AUTHORIZATION_VIOLATION in err_msg
        error = AuthorizationError() if refused else NatsError(f"the server says {err_msg}")
        await self._error_cb(error)
        await self._process_op_err(error)

    async def _read_loop(self) -> None:
        await super()._read_loop()
        current = asyncio.current_task()
        told_to = current is not None and current.cancelling() > 0
        if self.is_connected and current is self._reading_task and not told_to:
            await self._process_op_err(ProtocolError())

    # Broken networks

    @property
    def is_full(self) -> bool:
        """Whether the send buffer has no room."""
        return self._pending_data_size > self._max_pending_size

    async def wait_for_room(self, limit_s: float) -> None:
        """Wait until the send buffer has room.

        Raises:
            OutboundBufferLimitError: it has none within the limit.
        """
        queue = self._flush_queue
        try:
            async with asyncio.timeout(limit_s):
                while queue and self.is_connected and self.is_full:
                    flushed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    await queue.put(flushed)
                    await flushed
        except TimeoutError:
            raise OutboundBufferLimitError from None

    async def _flush_pending(self, force_flush: bool = False) -> None:
        """Wake the flusher. Never waits for it."""
        if self.is_connected and self._flush_queue is not None and not self._flush_queue.full():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        if not self.is_connected or self._transport is None:
            return
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        self._transport.writelines([*self._pending, _PING])
        self._pending = []
        self._pending_data_size = 0

    async def flush(self, timeout: float = DEFAULT_FLUSH_TIMEOUT) -> None:
        current = asyncio.current_task()
        before = current.cancelling() if current else 0
        await super().flush(timeout)  # type: ignore[arg-type]  # annotated int, used as seconds
        if current is not None and current.cancelling() > before:
            raise asyncio.CancelledError

    async def connect(self, *args: Any, **options: Any) -> None:
        await super().connect(*args, **options)
        self._heed_cancellation()

    def note_answer(self) -> None:
        """An answer says what a pong says. A pong comes behind the answers to all that was asked before: a thousand writes take seconds."""
        self._pings_outstanding = 0

    async def _attempt_reconnect(self) -> None:
        self._abandon()
        await super()._attempt_reconnect()

    async def _connect_to_server(self, s: Srv) -> None:
        self._heed_cancellation()
        self._abandon()
        await super()._connect_to_server(s)
        self._heed_cancellation()
        writer = self._writer()
        if sys.platform == "linux" and writer is not None:
            # What a ping does not notice, because nothing is sent, the kernel does: nothing acknowledged for so long.
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE_LIMIT_MS)

    async def end(self, subscription: Subscription, *, limit_s: float) -> None:
        """Drain a subscription, within a limit; nats-py would subscribe again, after a reconnect, to one that it did not get done with."""
        try:
            if self.is_connected:
                async with asyncio.timeout(limit_s):
                    await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it untyped
        except (NatsError, TimeoutError) as error:
            _log.debug("NATS: %s could not be drained: %s", subscription.subject, type(error).__name__)
        finally:
            subscription._stop_processing()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            self._remove_sub(subscription._id)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # as above: by no public way

    async def close(self) -> None:
        """Send what there is to send, and close. Takes a few seconds at the most; what the network does not take by then is lost."""
        sent = False
        try:
            if self.is_connected:
                await self.flush(timeout=_CLOSE_LIMIT_S)
                sent = True
        except NatsError as error:
            _log.warning("NATS: closed before everything was sent: %s", type(error).__name__)
        finally:
            self._pending = []
            self._pending_data_size = 0
            self._closing = True
            await self._end_reconnect()
            if not sent:
                self._abandon()
            expiry = asyncio.get_running_loop().call_later(_CLOSE_LIMIT_S, self._abandon)
            try:
                await super().close()
            finally:
                expiry.cancel()

    def _heed_cancellation(self) -> None:
        """nats-py waits with `wait_for`, which in Python 3.11 loses a cancellation that comes with the result."""
        current = asyncio.current_task()
        if self._closing or (current is not None and current.cancelling()):
            raise asyncio.CancelledError

    async def _end_reconnect(self) -> None:
        task: asyncio.Task[None] | None = self._reconnection_task
        while task is not None and not task.done() and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task], timeout=0.1)  # again: see `_heed_cancellation`

    def _abandon(self) -> None:
        """End the old connection without a word, with all that reads from it and writes to it."""
        current = asyncio.current_task()
        tasks: list[asyncio.Task[None] | None] = [self._reading_task, self._ping_interval_task, self._flusher_task]
        for task in tasks:
            if task is not None and task is not current:
                task.cancel()
        writer = self._writer()
        if writer is not None:
            writer.transport.abort()

    def _writer(self) -> asyncio.StreamWriter | None:
        if not isinstance(self._transport, TcpTransport):
            return None
        return self._transport._io_writer  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # shown nowhere else


def _readable(subject: bytes) -> bytes:
    return subject if subject.isascii() else subject.decode("utf-8", "replace").encode()
