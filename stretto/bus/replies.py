"""Replies: matches what comes back to what was asked, over one subscription of a connection."""

import asyncio
import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Protocol

from nats.aio.msg import Msg

from stretto.bus.errors import BusError, NotPermitted, TimedOut

__all__ = ["MAX_BATCH", "Batch", "Replies", "Send"]

MAX_BATCH = 1_000
"""Replies that one question may have at the most."""


class Send(Protocol):
    """Publishes a question; `limit_s` is how long it may take to send it."""

    async def __call__(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: dict[str, str] | None = None,
        limit_s: float | None = None,
    ) -> None: ...


@dataclass(slots=True)
class _Single:
    """One reply that is expected, and what to send again after a reconnect."""

    future: asyncio.Future[Msg]
    subject: str
    payload: bytes
    headers: dict[str, str] | None
    resend: bool


@dataclass(slots=True)
class Batch:
    """Replies to one question with several, as they come in.

    A reconnect, after which no more of them will come, stands among them as None, a refusal as its error.

    Attributes:
        inbox: where the replies are to be sent.
    """

    subject: str
    inbox: str
    replies: asyncio.Queue[Msg | NotPermitted | None] = field(
        default_factory=lambda: asyncio.Queue(maxsize=2 * MAX_BATCH)
    )

    def add(self, reply: Msg | NotPermitted | None) -> None:
        # Never wait here, that would hold up the replies to everybody else. What is over the bound is left out: a batched get asks for
        # less, and who gathers has enough.
        if not self.replies.full():
            self.replies.put_nowait(reply)


class Replies:
    """All that a connection waits for."""

    def __init__(self, *, inbox: str, send: Send, on_reply: Callable[[], None]) -> None:
        self._inbox = inbox
        self._send = send
        self._on_reply = on_reply
        self._expected: dict[str, _Single | Batch] = {}
        self._next = 0

    @property
    def subject(self) -> str:
        """What to subscribe to, with `take` as the callback."""
        return f"{self._inbox}.*"

    async def one(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, *, limit_s: float, resend: bool, now: bool
    ) -> Msg:
        """Ask and wait for the reply. With `resend` the question is asked again after a reconnect; without `now` only then.

        Raises:
            TimedOut: there is none within `limit_s`.
            NotPermitted: the server does not permit the question.
        """
        loop = asyncio.get_running_loop()
        token = self._token()
        future: asyncio.Future[Msg] = loop.create_future()
        self._expected[token] = _Single(future, subject, payload, headers, resend)
        expiry = loop.call_later(limit_s, _expire, future)
        try:
            if now:
                reply = f"{self._inbox}.{token}"
                await self._send(subject, payload, reply=reply, headers=headers, limit_s=limit_s)
            return await future
        finally:
            expiry.cancel()
            if future.done() and not future.cancelled():
                future.exception()  # what is not sent in time has expired too, and nobody else would ask for that
            del self._expected[token]

    @contextlib.contextmanager
    def several(self, subject: str) -> Generator[Batch]:
        """Expect any number of replies to a question on `subject`, which the caller then sends."""
        token = self._token()
        batch = Batch(subject, f"{self._inbox}.{token}")
        self._expected[token] = batch
        try:
            yield batch
        finally:
            del self._expected[token]

    async def take(self, msg: Msg) -> None:
        """Hand a reply to whoever waits for it; if nobody does any more, it is dropped."""
        self._on_reply()
        match self._expected.get(msg.subject.rpartition(".")[2]):
            case _Single(future=future):
                if not future.done():
                    future.set_result(msg)
            case Batch() as batch:
                batch.add(msg)
            case None:
                pass

    async def ask_again(self) -> None:
        """After a reconnect: send the questions again that may be sent twice, and tell batches that they are cut off."""
        for token, expected in list(self._expected.items()):
            match expected:
                case Batch():
                    expected.add(None)
                case _Single(resend=True) if not expected.future.done():
                    with contextlib.suppress(BusError):
                        await self._send(
                            expected.subject,
                            expected.payload,
                            reply=f"{self._inbox}.{token}",
                            headers=expected.headers,
                        )
                case _:
                    pass

    def refuse(self, subject: str) -> None:
        """Tell whoever waits for an answer on `subject`, which nats-py gives in lower case; the server would leave them waiting."""
        for expected in self._expected.values():
            if expected.subject.lower() == subject.lower():
                refusal = NotPermitted(f"the server does not permit publishing on {expected.subject}")
                match expected:
                    case _Single(future=future):
                        if not future.done():
                            future.set_exception(refusal)
                    case Batch():
                        expected.add(refusal)

    def _token(self) -> str:
        self._next += 1
        return str(self._next)


def _expire(future: asyncio.Future[Msg]) -> None:
    if not future.done():
        future.set_exception(TimedOut("no answer"))
