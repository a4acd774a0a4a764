"""Connection: one process's connection to NATS, with this project's errors and habits."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import BadHeaderError, BadSubjectError
from nats.errors import Error as NatsError

from stretto.bus.address import addresses, shown
from stretto.bus.errors import Misconfigured, NotPermitted, Refused, TimedOut, TooLarge, Unreachable
from stretto.bus.jetstream import NO_RESPONDERS, JetStream, status_of
from stretto.bus.nats_client import NatsClient
from stretto.bus.replies import Replies

__all__ = ["Connection", "ConnectionOptions"]

_log = logging.getLogger(__name__)

_PINGS_UNANSWERED = 2
_DRAIN_LIMIT_S = 2.0
_SEND_BUFFER_BYTES = 8 * 1024 * 1024
_UNREAD_MESSAGES, _UNREAD_BYTES = 65_536, 32 * 1024 * 1024
"""What a subscription keeps whose callback waits; what is over is dropped, and told. Callbacks that do not wait never come near it."""
_HEADER_BYTES = 64 * 1024
_SUBJECT_CHARS = 2_048
"""The server ends the connection of whoever sends a longer line than 4,096 bytes, and a line may hold two subjects."""
_DENIED = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Where and as whom to connect.

    Attributes:
        url: one or more server addresses, with commas between.
        name: shown in the server's lists of connections.
        wait_s: how long to wait for a server that does not answer yet.
        credentials: path of a NATS credentials file, if the server asks for one.
        timeout_s: how long to wait for an answer where nothing else is said.
        ping_interval_s: a server that answers nothing for two to three times as long counts as gone: another one is looked for.
        send_limit_s: how long to wait for room when the send buffer is full, before the network counts as broken.
    """

    url: str
    name: str = "stretto"
    wait_s: float = 0.0
    credentials: str | None = None
    timeout_s: float = 10.0
    ping_interval_s: float = 3.0
    send_limit_s: float = 5.0


class Connection:
    """One connection. Open it with `Connection.open`, close it with `close`; it reconnects by itself for as long as it lives.

    Publishes whose acknowledgement is outstanding are sent again at once after a reconnect: every write of ours is write-once or
    compare-and-swap, so a second copy is refused, and the writer reads back whether the first one was its own.
    """

    def __init__(self, client: NatsClient, options: ConnectionOptions) -> None:
        self._client = client
        self._options = options
        self._replies = Replies(inbox=client.new_inbox(), send=self.publish, on_reply=client.note_answer)
        self.jetstream = JetStream(
            exchange=self._exchange, send=self.publish, replies=self._replies, timeout_s=options.timeout_s
        )
        self._on_reconnect: list[Callable[[], None]] = []
        self._last_error: Exception | None = None

    @classmethod
    async def open(cls, options: ConnectionOptions) -> Self:
        """Connect.

        Raises:
            Unreachable: no server answers within `wait_s`.
            NotPermitted: the server refuses the credentials.
            Misconfigured: the address is not one, or the credentials cannot be read.
        """
        give_up_at = asyncio.get_running_loop().time() + options.wait_s
        servers = addresses(options.url)
        if options.credentials and not await asyncio.to_thread(Path(options.credentials).is_file):
            raise Misconfigured(f"there is no credentials file {options.credentials}")
        while True:
            try:
                return await cls._open_once(options, servers)
            except Unreachable:
                if asyncio.get_running_loop().time() >= give_up_at:
                    raise
                await asyncio.sleep(0.1)

    @classmethod
    async def _open_once(cls, options: ConnectionOptions, servers: list[str]) -> Self:
        client = NatsClient()
        self = cls(client, options)
        try:
            await client.connect(
                servers=servers,
                name=options.name,
                error_cb=self._note_error,
                reconnected_cb=self._after_reconnect,
                connect_timeout=2,
                # Only for the first connection: nats-py would try for two minutes. Later ones are tried for ever, see below.
                max_reconnect_attempts=1,
                reconnect_time_wait=0.05,
                ping_interval=options.ping_interval_s,
                max_outstanding_pings=_PINGS_UNANSWERED,
                user_credentials=options.credentials,
                pending_size=_SEND_BUFFER_BYTES,
                lame_duck_mode_cb=client.force_reconnect,
            )
        except asyncio.CancelledError:
            await client.close()
            raise
        except (OSError, NatsError) as error:
            await client.close()
            # Of the last server that it tried nats-py itself only says that there are no more.
            reason = self._last_error or error
            text = str(reason) or type(reason).__name__
            if _is_refusal(reason):
                raise NotPermitted(f"{shown(options.url)} refuses the credentials: {text}") from error
            raise Unreachable(f"no NATS server answers at {shown(options.url)} ({text}): is it running?") from error
        client.options["max_reconnect_attempts"] = -1
        client.options["reconnect_time_wait"] = 0.25
        await client.subscribe(self._replies.subject, cb=self._replies.take)
        return self

    async def close(self) -> None:
        """Send what was published and close. Takes a few seconds at the most; what the network does not take by then is lost."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def is_connected(self) -> bool:
        return bool(self._client.is_connected)

    @property
    def server_id(self) -> str:
        """The id of the server process that answers now; another one after a restart."""
        return str(self._server_info.get("server_id", ""))

    @property
    def server_version(self) -> str:
        return str(self._server_info.get("version", ""))

    @property
    def max_payload_bytes(self) -> int:
        return int(self._client.max_payload)

    @property
    def client(self) -> Client:
        """The nats-py client, for what is not wrapped here (micro services, the object store)."""
        return self._client

    @property
    def _server_info(self) -> dict[str, Any]:
        # nats-py shows neither the server's id nor its version otherwise.
        return self._client._server_info  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every reconnect; the returned function ends that."""
        self._on_reconnect.append(callback)
        return lambda: self._on_reconnect.remove(callback)

    # Core NATS

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: dict[str, str] | None = None,
        limit_s: float | None = None,
    ) -> None:
        """Send without an acknowledgement. When the send buffer is full it waits for room, `limit_s` at the most (or `send_limit_s`).

        Raises:
            TooLarge: over the server's payload limit.
            Refused: the subject or a header has characters that cannot travel, or the subject is too long.
            Unreachable: the send buffer is full and stays so, or the connection is closed.
        """
        self._check_size(subject, payload, headers)
        try:
            if self._client.is_full:
                longest_s = self._options.send_limit_s
                await self._client.wait_for_room(longest_s if limit_s is None else min(limit_s, longest_s))
            await self._client.publish(subject, payload, reply=reply, headers=headers)
        except (BadSubjectError, BadHeaderError) as error:
            raise Refused(f"{subject[:200]!r} or its headers cannot be published: {type(error).__name__}") from error
        except NatsError as error:
            raise Unreachable(f"cannot send to {shown(self._options.url)}: {error}") from error

    async def subscribe(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]], *, queue: str = ""
    ) -> Subscription:
        """Receive what is published on `subject`; callbacks of one subscription run one after another.

        Let a callback not wait: what comes meanwhile is kept up to a limit, and dropped over it.
        """
        return await self._client.subscribe(
            subject, queue=queue, cb=callback, pending_msgs_limit=_UNREAD_MESSAGES, pending_bytes_limit=_UNREAD_BYTES
        )

    async def drain(self, subscription: Subscription) -> None:
        """End a subscription, but first hand its callback what the server sent before it heard of that. Takes two seconds at the most."""
        await self._client.end(subscription, limit_s=_DRAIN_LIMIT_S)

    @contextlib.asynccontextmanager
    async def listen(self, *subjects: str, limit: int = 4_096) -> AsyncGenerator[asyncio.Queue[Msg]]:
        """A bounded queue of what comes on `subjects`; when it is full the oldest message makes room.

        For use in an `async with`; the subscriptions end with it.
        """
        queue: asyncio.Queue[Msg] = asyncio.Queue(maxsize=limit)

        async def put(msg: Msg) -> None:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(msg)

        subscriptions = [await self.subscribe(subject, put) for subject in subjects]
        try:
            yield queue
        finally:
            with contextlib.suppress(NatsError):
                for subscription in subscriptions:
                    await subscription.unsubscribe()

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float | None = None,
        resend: bool = False,
    ) -> Msg:
        """Ask and return the first reply. With `resend` it is asked again after a reconnect, for what may be done twice.

        Raises:
            Unreachable: nobody serves `subject`.
            TimedOut: no reply in time.
        """
        reply = await self._exchange(subject, payload, headers, timeout_s or self._options.timeout_s, resend=resend)
        if status_of(reply) == NO_RESPONDERS:
            raise Unreachable(f"nobody serves {subject}")
        return reply

    async def gather(self, subject: str, payload: bytes, *, within_s: float) -> list[Msg]:
        """Ask and return all replies that come within `within_s`."""
        found: list[Msg] = []
        with contextlib.suppress(TimeoutError), self._replies.several(subject) as batch:
            await self.publish(subject, payload, reply=batch.inbox)
            async with asyncio.timeout(within_s):
                while True:
                    match await batch.replies.get():
                        case None:
                            pass
                        case NotPermitted() as error:
                            raise error
                        case reply if status_of(reply) is None:
                            found.append(reply)
                        case _:
                            return found
        return found

    # Replies

    async def _exchange(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, timeout_s: float, *, resend: bool
    ) -> Msg:
        self._check_size(subject, payload, headers)
        now = self.is_connected or not resend
        try:
            return await self._replies.one(subject, payload, headers, limit_s=timeout_s, resend=resend, now=now)
        except TimedOut:
            if not self.is_connected:
                raise Unreachable(f"no NATS server answers at {shown(self._options.url)} for {timeout_s:g} s") from None
            raise TimedOut(f"no answer on {subject} within {timeout_s:g} s") from None

    def _check_size(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> None:
        """nats-py does not count headers and lines; the server does, and ends the connection."""
        size, limit = len(payload), self.max_payload_bytes
        if headers and size + _HEADER_BYTES > limit:
            size += 12 + sum(len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items())
        if size > limit:
            raise TooLarge(f"{size} bytes for {subject[:200]} are over the server's limit of {limit}")
        if len(subject) > _SUBJECT_CHARS:
            raise Refused(f"{subject[:200]!r}... is too long for a subject")

    # Callbacks of nats-py. None may raise: an error there would leave the connection deaf.

    async def _note_error(self, error: Exception) -> None:
        if not _is_refusal(self._last_error):  # behind a refusal comes a reset, which says less
            self._last_error = error
        denied = _DENIED.search(str(error))
        if denied:
            self._replies.refuse(denied[1])
        _log.log(logging.WARNING if self.is_connected else logging.DEBUG, "NATS: %s", error or type(error).__name__)

    async def _after_reconnect(self) -> None:
        _log.info("NATS: connected again to %s", shown(self._options.url))
        await self._replies.ask_again()
        for callback in list(self._on_reconnect):
            try:
                callback()
            except Exception:  # noqa: BLE001 (one listener's defect must not leave the others, or nats-py, without the news)
                _log.exception("NATS: a listener to reconnects failed")


def _is_refusal(error: Exception | None) -> bool:
    return "authorization" in str(error).lower()
