"""BusExporter: puts spans on the bus, where `stretto trace` finds them though nothing else runs."""

import asyncio
from collections import deque
from collections.abc import Generator, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from stretto.bus.connection import Connection
from stretto.bus.errors import BusError
from stretto.shared.telemetry.losses import Losses

__all__ = ["BusExporter"]

_WAITING_BYTES = 4 * 2**20
_ROOM_LIMIT_S = 1.0


class BusExporter(SpanExporter):
    """Publishes spans on `subject`, each message an OTLP `ExportTraceServiceRequest` that the server's limit lets pass.

    `export` may be called in any thread and never waits: it encodes there, and hands over to the event loop in which the exporter was made,
    where `run` publishes. While the bus is away messages wait, up to `waiting_bytes`; what comes then is dropped, and `losses` is told. As
    for spans themselves: they are published without an acknowledgement, and no span is made of it.
    """

    def __init__(
        self, *, connection: Connection, subject: str, losses: Losses, waiting_bytes: int = _WAITING_BYTES
    ) -> None:
        self._connection = connection
        self._subject = subject
        self._losses = losses
        self._waiting_bytes_limit = waiting_bytes
        self._loop = asyncio.get_running_loop()
        self._waiting = deque[tuple[bytes, int]]()
        self._waiting_bytes = 0
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for payload, count in self._messages(spans):
            try:
                self._loop.call_soon_threadsafe(self._take, payload, count)
            except RuntimeError:  # the loop is closed: the process has ended without waiting for this thread
                self._losses.lost(count)
                return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    async def run(self) -> None:
        """Publish what is exported, until cancelled."""
        end = self._connection.on_reconnect(self._changed.set)
        try:
            while True:
                while self._waiting and self._connection.is_connected:
                    await self._publish()
                if not self._waiting:
                    self._empty.set()
                self._changed.clear()
                await self._changed.wait()
        finally:
            end()
            if self._waiting:
                self._losses.lost(sum(count for _, count in self._waiting))

    async def drained(self) -> None:
        """Wait until all that was exported is sent, or the bus is away. Exports of other threads count that have returned."""
        await asyncio.sleep(0)  # what they handed to the loop comes before us
        if self._connection.is_connected:
            await self._empty.wait()

    def shutdown(self) -> None:
        """Nothing to do: whoever cancels `run` ends it."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """`drained` is for that: this may not wait."""
        return True

    def _messages(self, spans: Sequence[ReadableSpan]) -> Generator[tuple[bytes, int]]:
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import (
            encode_spans,
        )  # it takes a while: not at the start

        payload = encode_spans(spans).SerializeToString()
        if len(payload) <= self._connection.max_payload_bytes:
            yield payload, len(spans)
        elif len(spans) > 1:
            half = len(spans) // 2
            yield from self._messages(spans[:half])
            yield from self._messages(spans[half:])
        else:
            self._losses.lost(1)

    def _take(self, payload: bytes, count: int) -> None:
        if self._waiting_bytes + len(payload) > self._waiting_bytes_limit:
            self._losses.lost(count)
            return
        self._waiting.append((payload, count))
        self._waiting_bytes += len(payload)
        self._empty.clear()
        self._changed.set()

    async def _publish(self) -> None:
        payload, count = self._waiting[0]
        try:
            await self._connection.publish(self._subject, payload, limit_s=_ROOM_LIMIT_S)
        except BusError:
            self._losses.lost(count)
        else:
            self._losses.taken()
        self._waiting.popleft()
        self._waiting_bytes -= len(payload)
