"""BoundedTransport: HTTP whose replies end at a limit, for servers that send without end."""

from collections.abc import AsyncIterator
from typing import Final, cast

import httpx2

__all__ = ["BoundedTransport"]

_MAX_REPLY_BYTES: Final = 8 * 1024 * 1024


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size_bytes = 0
        async for piece in self._stream:
            size_bytes += len(piece)
            if size_bytes > _MAX_REPLY_BYTES:
                raise httpx2.ReadError(f"the reply is longer than {_MAX_REPLY_BYTES} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Bounds replies of JSON; the SDK itself bounds each event of a stream."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _Bounded(cast("httpx2.AsyncByteStream", response.stream))
        return response
