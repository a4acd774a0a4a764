"""ProviderServer: an HTTP server that answers from a script and records what it was sent."""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

__all__ = ["CUT", "Answer", "Part", "ProviderServer", "Received"]


class _Cut:
    """Ends the connection here."""


CUT = _Cut()

Part = bytes | asyncio.Event | _Cut
"""A piece of a body; or wait for the event; or cut the connection."""


@dataclass(frozen=True)
class Received:
    """A request."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A response: `json`, or the `parts` of a chunked body."""

    json: object = None
    parts: Sequence[Part] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def _no_more(_: Received) -> Answer:
    return Answer(json={"error": {"message": "no more"}}, status=418)


class ProviderServer:
    """Gives the answers in their order, and after them what `then` makes of a request: 418 unless told otherwise.

    Attributes:
        requests: what came, in its order.
        arrived: set when a request has come.
        left: set when a client has closed its connection before its answer was whole.
    """

    def __init__(self, answers: Iterable[Answer] = (), *, then: Callable[[Received], Answer] = _no_more) -> None:
        self._answers = list(answers)
        self._then = then
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self.requests: list[Received] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for one in self._handlers:
            one.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def script(self, *answers: Answer) -> None:
        """Give these next."""
        self._answers.extend(answers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client is gone
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when the connection is to be closed."""
        request_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        received = Received(request_line.split()[1], headers, json.loads(body or b"{}"))
        self.requests.append(received)
        self.arrived.set()
        answer = self._answers.pop(0) if self._answers else self._then(received)
        if answer.parts:
            return await self._send_parts(answer, reader, writer)
        data = json.dumps(answer.json).encode()
        _head(writer, answer, [f"content-length: {len(data)}", "content-type: application/json"])
        writer.write(data)
        await writer.drain()
        return True

    async def _send_parts(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        _head(writer, answer, ["transfer-encoding: chunked", "content-type: text/event-stream", "connection: close"])
        gone = asyncio.ensure_future(reader.read(1))
        try:
            for part in answer.parts:
                match part:
                    case bytes():
                        writer.write(b"%x\r\n%s\r\n" % (len(part), part))
                        await writer.drain()
                    case asyncio.Event():
                        waiting = asyncio.ensure_future(part.wait())
                        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
                        waiting.cancel()
                        if gone.done():
                            self.left.set()
                            return False
                    case _:
                        return False
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        finally:
            gone.cancel()
        return False


def _head(writer: asyncio.StreamWriter, answer: Answer, more: list[str]) -> None:
    named = [f"{name}: {value}" for name, value in answer.headers.items()]
    writer.write("\r\n".join([f"HTTP/1.1 {answer.status} X", *more, *named, "", ""]).encode())
