"""ModelServer: a chat completions server that answers at once, for `benchmarks.models`; a process of its own, which prints its port."""

import asyncio
import json
import time
from typing import Any

import uvloop

__all__: list[str] = []

_REST = ["word " * 8] * 8
_USAGE = {"prompt_tokens": 50, "completion_tokens": 70, "total_tokens": 120}


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}
    body = f"data: {json.dumps(data)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(body), body)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests until the client leaves. The first word of a reply is the time at which it was sent."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            asked = json.loads(await reader.readexactly(length))
            first = f'{{"text": "{time.monotonic_ns()} '
            if asked.get("stream"):
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                writer.write(_chunk({"role": "assistant", "content": first}))
                await writer.drain()
                for piece in _REST:
                    writer.write(_chunk({"content": piece}))
                end = _chunk({"content": '"}'}) + _chunk({}, "stop", usage=_USAGE)
                writer.write(end + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            else:
                message = {"role": "assistant", "content": first + "".join(_REST) + '"}'}
                choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
                whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
                body = json.dumps({**whole, "choices": choices, "usage": _USAGE}).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                    % (len(body), body)
                )
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the client is gone
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main())
