"""Connection: one process's connection to NATS, with this project's errors and habits."""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import BadHeaderError, BadSubjectError, MaxPayloadError
from nats.errors import Error as NatsError

from stretto.bus.errors import (
    BusError,
    Busy,
    Conflict,
    Misconfigured,
    NotPermitted,
    Refused,
    StreamMissing,
    TimedOut,
    TooLarge,
    Unreachable,
)
from stretto.bus.nats_client import NatsClient

__all__ = ["Connection", "ConnectionOptions", "Stored"]

_log = logging.getLogger(__name__)

_STATUS = "Status"
_WRONG_LAST_SEQUENCE = {10071, 10164}
_FULL = {10077}
_TOO_LARGE = {10054}
_NO_RESPONDERS = "503"
_READING = {"Nats-Stream", "Nats-Num-Pending", "Nats-Last-Sequence"}
"""What the server says of the reading, among the headers of what was stored."""
_NO_RESPONDERS_RETRY_S = 0.25
_DENIED = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)
_MAX_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Where and as whom to connect.

    Attributes:
        url: one or more server addresses, with commas between.
        name: shown in the server's lists of connections.
        wait_s: how long to wait for a server that does not answer yet.
        credentials: path of a NATS credentials file, if the server asks for one.
    """

    url: str
    name: str = "stretto"
    wait_s: float = 0.0
    credentials: str | None = None
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as a stream keeps it: `at` is the server's time of storing it."""

    subject: str
    seq: int
    at: datetime
    data: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Waiting:
    """A reply that is expected, and what to send again after a reconnect."""

    future: asyncio.Future[Msg]
    subject: str
    payload: bytes
    headers: dict[str, str] | None
    resend: bool


@dataclass(slots=True)
class _Batch:
    """Replies to one question with several, as they come in.

    A reconnect, after which no more of them will come, stands among them as None, a refusal as its error.
    """

    subject: str
    replies: asyncio.Queue[Msg | NotPermitted | None] = field(
        default_factory=lambda: asyncio.Queue(maxsize=2 * _MAX_BATCH)
    )

    def add(self, reply: Msg | NotPermitted | None) -> None:
        # Never wait here, that would hold up the replies to everybody else. What is over the bound is left out: a batched get asks for
        # less, and who gathers has enough.
        if not self.replies.full():
            self.replies.put_nowait(reply)


class Connection:
    """One connection. Open it with `Connection.open`, close it with `close`; it reconnects by itself for as long as it lives.

    Publishes whose acknowledgement is outstanding are sent again at once after a reconnect: every write of ours is write-once or
    compare-and-swap, so a second copy is refused, and the writer reads back whether the first one was its own.
    """

    def __init__(self, client: Client, options: ConnectionOptions) -> None:
        self._client = client
        self._options = options
        self._inbox = client.new_inbox()
        self._waiting: dict[str, _Waiting | _Batch] = {}
        self._next = 0
        self._on_reconnect: list[Callable[[], None]] = []
        self._reconnected = asyncio.Event()
        self._closed = asyncio.Event()
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
        servers = _addresses(options.url)
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
                closed_cb=self._after_close,
                connect_timeout=2,
                # Only for the first connection: nats-py would try for two minutes. Later ones are tried for ever, see below.
                max_reconnect_attempts=1,
                reconnect_time_wait=0.05,  # type: ignore[arg-type]  # annotated int, used as seconds
                ping_interval=10,
                max_outstanding_pings=2,
                user_credentials=options.credentials,
                pending_size=8 * 1024 * 1024,
                drain_timeout=3,
            )
        except (OSError, NatsError) as error:
            await client.close()
            # Of the last server that it tried nats-py itself only says that there are no more.
            reason = self._last_error or error
            text = str(reason) or type(reason).__name__
            if _is_refusal(reason):
                raise NotPermitted(f"{_shown(options.url)} refuses the credentials: {text}") from error
            raise Unreachable(f"no NATS server answers at {_shown(options.url)} ({text}): is it running?") from error
        client.options["max_reconnect_attempts"] = -1
        client.options["reconnect_time_wait"] = 0.25
        await client.subscribe(f"{self._inbox}.*", cb=self._dispatch)
        return self

    async def close(self) -> None:
        """Flush what was published and close."""
        with contextlib.suppress(NatsError, TimeoutError, asyncio.TimeoutError):
            if self._client.is_connected:
                await self._client.flush(timeout=2)
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

    async def wait_closed(self) -> None:
        """Return when the connection is closed for good."""
        await self._closed.wait()

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every reconnect; the returned function ends that."""
        self._on_reconnect.append(callback)
        return lambda: self._on_reconnect.remove(callback)

    # Core NATS

    async def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send without an acknowledgement.

        Raises:
            TooLarge: over the server's payload limit.
            Refused: the subject or a header has characters that cannot travel.
            Unreachable: disconnected for so long that the send buffer is full, or closed.
        """
        try:
            await self._client.publish(subject, payload, reply=reply, headers=headers)
        except MaxPayloadError as error:
            raise TooLarge(self._too_large(subject, payload)) from error
        except (BadSubjectError, BadHeaderError) as error:
            raise Refused(f"{subject[:200]!r} or its headers cannot be published: {type(error).__name__}") from error
        except NatsError as error:
            raise Unreachable(f"cannot send to {_shown(self._options.url)}: {error}") from error

    async def subscribe(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]], *, queue: str = ""
    ) -> Subscription:
        """Receive what is published on `subject`; callbacks of one subscription run one after another."""
        return await self._client.subscribe(subject, queue=queue, cb=callback)

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

    async def request(self, subject: str, payload: bytes, *, timeout_s: float | None = None) -> Msg:
        """Ask and return the first reply.

        Raises:
            Unreachable: nobody serves `subject`.
            TimedOut: no reply in time.
        """
        reply = await self._exchange(subject, payload, None, timeout_s, resend=False)
        if _status(reply) == _NO_RESPONDERS:
            raise Unreachable(f"nobody serves {subject}")
        return reply

    async def gather(self, subject: str, payload: bytes, *, within_s: float) -> list[Msg]:
        """Ask and return all replies that come within `within_s`."""
        token, batch = self._open_batch(subject)
        replies: list[Msg] = []
        try:
            await self.publish(subject, payload, reply=f"{self._inbox}.{token}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    while True:
                        match await batch.replies.get():
                            case None:
                                pass
                            case NotPermitted() as error:
                                raise error
                            case reply if _status(reply) is None:
                                replies.append(reply)
                            case _:
                                return replies
        finally:
            del self._waiting[token]
        return replies

    # JetStream

    async def store(
        self,
        subject: str,
        payload: bytes,
        *,
        expect: int | None = None,
        expect_on: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> int:
        """Append to the stream that keeps `subject`; return its sequence there once it is stored.

        `expect` is the sequence of the last message that must now be on `subject` (0: there must be none), or on the wildcard `expect_on`.

        Raises:
            Conflict: another message is there. It may be this one, sent twice: read back.
            Busy: the stream is full.
            TooLarge, NotPermitted, StreamMissing, TimedOut: as they say.
        """
        all_headers = dict(headers or {})
        if expect is not None:
            all_headers["Nats-Expected-Last-Subject-Sequence"] = str(expect)
        if expect_on is not None:
            all_headers["Nats-Expected-Last-Subject-Sequence-Subject"] = expect_on
        timeout_s = timeout_s or self._options.timeout_s
        give_up_at = asyncio.get_running_loop().time() + timeout_s
        while True:
            reply = await self._exchange(subject, payload, all_headers or None, timeout_s, resend=True)
            if _status(reply) == _NO_RESPONDERS:
                # No stream, or one whose server is just coming up: tell them apart by time.
                if asyncio.get_running_loop().time() + _NO_RESPONDERS_RETRY_S > give_up_at - timeout_s / 2:
                    raise StreamMissing(f"no stream keeps {subject}: is a supervisor running for this prefix?")
                await asyncio.sleep(_NO_RESPONDERS_RETRY_S)
                continue
            return self._sequence(subject, reply)

    async def last(self, stream: str, subject: str, *, timeout_s: float | None = None) -> Stored | None:
        """The last message stored on `subject`, or None.

        Raises:
            StreamMissing: there is no such stream.
            TimedOut, Unreachable, NotPermitted: as they say.
        """
        reply = await self._exchange(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", None, timeout_s, resend=True)
        match _status(reply):
            case None:
                return _stored(reply)
            case "503":
                raise _no_stream(stream)
            case _:
                return None

    async def read(
        self, stream: str, pattern: str, *, from_seq: int = 1, batch: int = _MAX_BATCH, timeout_s: float | None = None
    ) -> list[Stored]:
        """All messages stored on subjects that match `pattern`, in order, from `from_seq` on, by direct gets of `batch` messages (ADR-31).

        Raises:
            TimedOut: the answer stopped coming.
            StreamMissing: there is no such stream.
        """
        found: list[Stored] = []
        while True:
            more = await self._read_batch(
                stream, pattern, max(1, from_seq), batch, timeout_s or self._options.timeout_s, found
            )
            if not more:
                return found
            from_seq = found[-1].seq + 1 if found else from_seq

    async def _read_batch(
        self, stream: str, pattern: str, from_seq: int, batch: int, timeout_s: float, found: list[Stored]
    ) -> bool:
        """Add one batch to `found`; return whether there is more."""
        subject = f"$JS.API.DIRECT.GET.{stream}"
        token, incoming = self._open_batch(subject)
        question = json.dumps({"seq": from_seq, "next_by_subj": pattern, "batch": min(batch, _MAX_BATCH)}).encode()
        pending = "0"
        try:
            async with asyncio.timeout(timeout_s):
                await self.publish(subject, question, reply=f"{self._inbox}.{token}")
                while True:
                    reply = await incoming.replies.get()
                    if reply is None:
                        return True  # cut off by a reconnect: ask for the rest
                    if isinstance(reply, NotPermitted):
                        raise reply
                    match _status(reply):
                        case None:
                            pending = (reply.headers or {}).get("Nats-Num-Pending", "0")
                            found.append(_stored(reply))
                        case "503":
                            raise _no_stream(stream)
                        case _:  # 204: end of batch; 404: nothing (more) there
                            return pending != "0"
        except TimeoutError as error:
            raise TimedOut(f"reading {stream} stopped after {timeout_s:g} s") from error
        finally:
            del self._waiting[token]

    async def api(self, verb: str, body: Mapping[str, Any] | None = None, *, timeout_s: float | None = None) -> Any:
        """Call `$JS.API.{verb}` and return its JSON, errors included: the caller knows which ones it expects.

        Raises:
            Misconfigured: JetStream is not enabled on the server.
        """
        question = json.dumps(body or {}).encode()
        reply = await self._exchange(f"$JS.API.{verb}", question, None, timeout_s, resend=False)
        if _status(reply) == _NO_RESPONDERS:
            raise Misconfigured(f"JetStream is off at {_shown(self._options.url)}: start nats-server with -js")
        return json.loads(reply.data)

    # Replies

    def _token(self) -> str:
        self._next += 1
        return str(self._next)

    def _open_batch(self, subject: str) -> tuple[str, _Batch]:
        token, batch = self._token(), _Batch(subject)
        self._waiting[token] = batch
        return token, batch

    async def _exchange(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, timeout_s: float | None, *, resend: bool
    ) -> Msg:
        if len(payload) > self.max_payload_bytes:
            raise TooLarge(self._too_large(subject, payload))
        limit_s = timeout_s or self._options.timeout_s
        loop = asyncio.get_running_loop()
        token = self._token()
        future: asyncio.Future[Msg] = loop.create_future()
        self._waiting[token] = _Waiting(future, subject, payload, headers, resend)
        expiry = loop.call_later(limit_s, _expire, future)
        try:
            if self.is_connected or not resend:
                await self.publish(subject, payload, reply=f"{self._inbox}.{token}", headers=headers)
            return await future
        except TimedOut:
            if not self.is_connected:
                raise Unreachable(f"no NATS server answers at {_shown(self._options.url)} for {limit_s:g} s") from None
            raise TimedOut(f"no answer on {subject} within {limit_s:g} s") from None
        finally:
            expiry.cancel()
            del self._waiting[token]

    async def _dispatch(self, msg: Msg) -> None:
        waiting = self._waiting.get(msg.subject.rpartition(".")[2])
        match waiting:
            case _Waiting():
                if not waiting.future.done():
                    waiting.future.set_result(msg)
            case _Batch():
                waiting.add(msg)
            case None:
                pass  # its caller gave up

    def _sequence(self, subject: str, reply: Msg) -> int:
        ack = json.loads(reply.data)
        error = ack.get("error")
        if error is None:
            return int(ack["seq"])
        code, text = error.get("err_code", 0), error.get("description", "")
        if code in _WRONG_LAST_SEQUENCE:
            raise Conflict(subject)
        if code in _FULL:
            raise Busy(f"{ack.get('stream', 'the stream')} is full ({text})")
        if code in _TOO_LARGE:
            raise TooLarge(f"{subject}: {text}")
        if error.get("code") == 503:
            raise Busy(f"{ack.get('stream', 'the stream')} cannot store now ({text})")
        raise BusError(f"{subject} was not stored: {text} ({code})")

    def _too_large(self, subject: str, payload: bytes) -> str:
        return f"{len(payload)} bytes for {subject} are over the server's limit of {self.max_payload_bytes}"

    # Callbacks of nats-py. None may raise: an error there would leave the connection deaf.

    async def _note_error(self, error: Exception) -> None:
        if not _is_refusal(self._last_error):  # behind a refusal comes a reset, which says less
            self._last_error = error
        denied = _DENIED.search(str(error))
        if denied:
            self._refuse(denied[1])
        _log.log(logging.WARNING if self.is_connected else logging.DEBUG, "NATS: %s", error or type(error).__name__)

    def _refuse(self, subject: str) -> None:
        """Tell whoever waits for an answer on `subject`, which nats-py gives in lower case; the server would leave them waiting."""
        for waiting in self._waiting.values():
            if waiting.subject.lower() == subject.lower():
                refusal = NotPermitted(f"the server does not permit publishing on {waiting.subject}")
                match waiting:
                    case _Waiting():
                        if not waiting.future.done():
                            waiting.future.set_exception(refusal)
                    case _Batch():
                        waiting.add(refusal)

    async def _after_close(self) -> None:
        self._closed.set()

    async def _after_reconnect(self) -> None:
        _log.info("NATS: connected again to %s", _shown(self._options.url))
        for token, waiting in list(self._waiting.items()):
            if isinstance(waiting, _Batch):
                waiting.add(None)
            elif waiting.resend and not waiting.future.done():
                with contextlib.suppress(BusError):
                    await self.publish(
                        waiting.subject, waiting.payload, reply=f"{self._inbox}.{token}", headers=waiting.headers
                    )
        for callback in list(self._on_reconnect):
            callback()


def _is_refusal(error: Exception | None) -> bool:
    return "authorization" in str(error).lower()


def _addresses(url: str) -> list[str]:
    servers = [one.strip() for one in url.split(",")]
    for server in servers:
        if not _is_address(server):
            raise Misconfigured(f"{_shown(server)!r} is not a NATS address: use nats://host:port")
    return servers


def _is_address(server: str) -> bool:
    try:
        parts = urlsplit(server if "://" in server else f"nats://{server}")
        possible = parts.scheme in {"nats", "tls", "ws", "wss"} and parts.port != 0
    except ValueError:
        return False
    return possible and bool(parts.hostname) and not any(one.isspace() for one in server)


def _shown(url: str) -> str:
    """The address as it may stand in a text: without user and password."""
    return re.sub(r"[^/,@]*@", "", url)


def _expire(future: asyncio.Future[Msg]) -> None:
    if not future.done():
        future.set_exception(TimedOut("no answer"))


def _no_stream(stream: str) -> StreamMissing:
    return StreamMissing(f"there is no stream {stream}: is a supervisor running for this prefix?")


def _status(reply: Msg) -> str | None:
    """The status of a reply that is not a stored message."""
    headers = reply.headers
    return headers.get(_STATUS) if headers else None


def _stored(reply: Msg) -> Stored:
    headers = dict(reply.headers or {})
    return Stored(
        subject=headers.pop("Nats-Subject"),
        seq=int(headers.pop("Nats-Sequence")),
        at=_time(headers.pop("Nats-Time-Stamp")),
        data=reply.data,
        headers={name: value for name, value in headers.items() if name not in _READING},
    )


def _time(text: str) -> datetime:
    """Server time in RFC 3339 with nanoseconds, cut to microseconds."""
    head, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}").replace(tzinfo=UTC)
