"""JetStream: what this project asks of streams: store on a condition, read back, and the API behind it."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from nats.aio.msg import Msg

from stretto.bus.errors import BusError, Busy, Conflict, Misconfigured, NotPermitted, StreamMissing, TimedOut, TooLarge
from stretto.bus.replies import MAX_BATCH, Replies, Send

__all__ = ["NO_RESPONDERS", "Exchange", "JetStream", "Stored", "status_of"]

_WRONG_LAST_SEQUENCE = {10071, 10164}
_FULL = {10077}
_TOO_LARGE = {10054}
_NO_ROOM = 10023
"""Over what the server may store in all: `max_file_store`, by default three quarters of what was free when it started."""
NO_RESPONDERS = "503"
_NO_RESPONDERS_RETRY_S = 0.25
_READING = {"Nats-Stream", "Nats-Num-Pending", "Nats-Last-Sequence"}
"""What the server says of the reading, among the headers of what was stored."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as a stream keeps it: `at` is the server's time of storing it; `more` such there were behind it, when it was read."""

    subject: str
    seq: int
    at: datetime
    data: bytes
    headers: Mapping[str, str]
    more: int = field(default=0, compare=False)


class Exchange(Protocol):
    """Asks one question and waits for its reply; with `resend` it is asked again after a reconnect."""

    async def __call__(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, timeout_s: float, *, resend: bool
    ) -> Msg: ...


class JetStream:
    """The streams that a connection reaches."""

    def __init__(self, *, exchange: Exchange, send: Send, replies: Replies, timeout_s: float) -> None:
        self._exchange = exchange
        self._send = send
        self._replies = replies
        self._timeout_s = timeout_s

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
        timeout_s = timeout_s or self._timeout_s
        give_up_at = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                reply = await self._exchange(subject, payload, all_headers or None, timeout_s, resend=True)
            except TimedOut as error:  # what a server does whose disk is full
                raise TimedOut(f"{error}: if its disk is full, free some space and start the server again") from error
            if status_of(reply) == NO_RESPONDERS:
                # No stream, or one whose server is just coming up: tell them apart by time.
                if asyncio.get_running_loop().time() + _NO_RESPONDERS_RETRY_S > give_up_at - timeout_s / 2:
                    raise StreamMissing(f"no stream keeps {subject}: is a supervisor running for this prefix?")
                await asyncio.sleep(_NO_RESPONDERS_RETRY_S)
                continue
            return int(_acknowledged(subject, reply)["seq"])

    async def count(self, subject: str, by: int, *, timeout_s: float | None = None) -> int:
        """Add to the counter that a stream keeps on `subject` (ADR-49); return its value with that.

        Raises:
            StreamMissing: there is no such stream.
            TimedOut, Unreachable: it may have been added all the same.
        """
        headers = {"Nats-Incr": str(by)}
        reply = await self._exchange(subject, b"", headers, timeout_s or self._timeout_s, resend=False)
        if status_of(reply) == NO_RESPONDERS:
            raise StreamMissing(f"no stream counts {subject}: is a supervisor running for this prefix?")
        return int(_acknowledged(subject, reply)["val"])

    async def last(self, stream: str, subject: str, *, timeout_s: float | None = None) -> Stored | None:
        """The last message stored on `subject`, or None.

        Raises:
            StreamMissing: there is no such stream.
            TimedOut, Unreachable, NotPermitted: as they say.
        """
        reply = await self._exchange(
            f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", None, timeout_s or self._timeout_s, resend=True
        )
        return self._found(stream, reply)

    async def get(self, stream: str, seq: int, *, timeout_s: float | None = None) -> Stored | None:
        """The message of this sequence, or None.

        Raises:
            StreamMissing: there is no such stream.
            TimedOut, Unreachable, NotPermitted: as they say.
        """
        question = json.dumps({"seq": seq}).encode()
        reply = await self._exchange(
            f"$JS.API.DIRECT.GET.{stream}", question, None, timeout_s or self._timeout_s, resend=True
        )
        return self._found(stream, reply)

    async def read(
        self,
        stream: str,
        pattern: str,
        *,
        from_seq: int = 1,
        until_seq: int | None = None,
        batch: int = MAX_BATCH,
        timeout_s: float | None = None,
    ) -> list[Stored]:
        """All messages stored on subjects that match `pattern`, in order, from `from_seq` on, by direct gets of `batch` messages (ADR-31);
        none from `until_seq` on.

        Raises:
            TimedOut: the answer stopped coming.
            StreamMissing: there is no such stream.
        """
        found: list[Stored] = []
        while True:
            more = await self._read_batch(stream, pattern, max(1, from_seq), batch, timeout_s or self._timeout_s, found)
            if until_seq is not None and found and found[-1].seq >= until_seq:
                return [one for one in found if one.seq < until_seq]
            if not more:
                return found
            from_seq = found[-1].seq + 1 if found else from_seq

    async def _read_batch(
        self, stream: str, pattern: str, from_seq: int, batch: int, timeout_s: float, found: list[Stored]
    ) -> bool:
        """Add one batch to `found`; return whether there is more."""
        question = {"seq": from_seq, "next_by_subj": pattern, "batch": min(batch, MAX_BATCH)}
        return await self._ask_batch(stream, question, timeout_s, found) != "all"

    async def _ask_batch(
        self, stream: str, asked: Mapping[str, Any], timeout_s: float, found: list[Stored]
    ) -> Literal["all", "more", "cut off", "too many"]:
        """Add the messages of one answer to `found`; return whether that was all there is."""
        subject = f"$JS.API.DIRECT.GET.{stream}"
        question = json.dumps(asked).encode()
        pending = "0"
        try:
            async with asyncio.timeout(timeout_s):
                with self._replies.several(subject) as incoming:
                    await self._send(subject, question, reply=incoming.inbox)
                    while True:
                        reply = await incoming.replies.get()
                        if reply is None:
                            return "cut off"  # by a reconnect: ask for the rest
                        if isinstance(reply, NotPermitted):
                            raise reply
                        match status_of(reply):
                            case None:
                                pending = (reply.headers or {}).get("Nats-Num-Pending", "0")
                                found.append(_stored(reply))
                            case "503":
                                raise _no_stream(stream)
                            case "413":
                                return "too many"
                            case _:  # 204: end of batch; 404: nothing (more) there
                                return "more" if pending != "0" else "all"
        except TimeoutError as error:
            raise TimedOut(f"reading {stream} stopped after {timeout_s:g} s") from error

    async def peek(
        self,
        stream: str,
        pattern: str,
        *,
        from_seq: int = 1,
        since: datetime | None = None,
        timeout_s: float | None = None,
    ) -> Stored | None:
        """The first message on a subject that matches `pattern`, from `from_seq` or a time of the server on, and with it how many
        `more` there are. None of those is read: half a microsecond for each.

        Raises:
            TimedOut, StreamMissing: as `read`.
        """
        begin = {"seq": max(1, from_seq)} if since is None else {"start_time": since.isoformat()}
        asked = {**begin, "next_by_subj": pattern, "batch": 1}
        found: list[Stored] = []
        while await self._ask_batch(stream, asked, timeout_s or self._timeout_s, found) == "cut off" and not found:
            pass
        return found[0] if found else None

    async def last_of(self, stream: str, subjects: Sequence[str], *, timeout_s: float | None = None) -> list[Stored]:
        """The last message stored on each subject that matches one of `subjects` (wildcards allowed), in the stream's order, by one direct
        get (ADR-31). The server answers for 1,000 subjects at the most: with more, the matches are read one pattern after the other.

        Raises:
            TimedOut, StreamMissing: as `read`.
        """
        timeout_s = timeout_s or self._timeout_s
        found: list[Stored] = []
        question = {"multi_last": list(subjects), "batch": MAX_BATCH}
        match await self._ask_batch(stream, question, timeout_s, found):
            case "all":
                return found
            case "cut off":
                return await self.last_of(stream, subjects, timeout_s=timeout_s)
            case _:
                several = [one for subject in subjects for one in await self.read(stream, subject, timeout_s=timeout_s)]
                return sorted({one.subject: one for one in several}.values(), key=lambda one: one.seq)

    async def api(self, verb: str, body: Mapping[str, Any] | None = None, *, timeout_s: float | None = None) -> Any:
        """Call `$JS.API.{verb}` and return its JSON, errors included: the caller knows which ones it expects.

        Raises:
            Misconfigured: JetStream is not enabled on the server.
        """
        question = json.dumps(body or {}).encode()
        reply = await self._exchange(f"$JS.API.{verb}", question, None, timeout_s or self._timeout_s, resend=False)
        if status_of(reply) == NO_RESPONDERS:
            raise Misconfigured("JetStream is off: start nats-server with -js")
        return json.loads(reply.data)

    @staticmethod
    def _found(stream: str, reply: Msg) -> Stored | None:
        match status_of(reply):
            case None:
                return _stored(reply)
            case "503":
                raise _no_stream(stream)
            case _:
                return None


def status_of(reply: Msg) -> str | None:
    """The status of a reply that is not a message."""
    headers = reply.headers
    return headers.get("Status") if headers else None


def _acknowledged(subject: str, reply: Msg) -> dict[str, Any]:
    """What a stream says of what was stored."""
    ack: dict[str, Any] = json.loads(reply.data)
    error = ack.get("error")
    if error is None:
        return ack
    code, text = error.get("err_code", 0), error.get("description", "")
    if code in _WRONG_LAST_SEQUENCE:
        raise Conflict(subject)
    if code in _FULL:
        raise Busy(f"{ack.get('stream', 'the stream')} is full ({text})")
    if code in _TOO_LARGE:
        raise TooLarge(f"{subject}: {text}")
    if error.get("code") == 503:
        stream = ack.get("stream", "the stream")
        if code == _NO_ROOM:
            raise Busy(f"{stream} cannot store now ({text}): free some space for the server's store and start it again")
        raise Busy(f"{stream} cannot store now ({text})")
    raise BusError(f"{subject} was not stored: {text} ({code})")


def _no_stream(stream: str) -> StreamMissing:
    return StreamMissing(f"there is no stream {stream}: is a supervisor running for this prefix?")


def _stored(reply: Msg) -> Stored:
    headers = dict(reply.headers or {})
    return Stored(
        subject=headers.pop("Nats-Subject"),
        seq=int(headers.pop("Nats-Sequence")),
        at=_time(headers.pop("Nats-Time-Stamp")),
        data=reply.data,
        headers={name: value for name, value in headers.items() if name not in _READING},
        more=int(headers.get("Nats-Num-Pending", 0)),
    )


def _time(text: str) -> datetime:
    """Server time in RFC 3339 with nanoseconds, cut to microseconds."""
    head, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}").replace(tzinfo=UTC)
