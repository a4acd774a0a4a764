"""BusSpans: puts spans on the bus, where `stretto trace` finds them though nothing else runs."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Generator, Iterable

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from stretto.bus.connection import Connection
from stretto.bus.errors import BusError
from stretto.shared.telemetry.losses import Losses
from stretto.shared.telemetry.otlp_bytes import request_bytes, span_bytes
from stretto.shared.telemetry.span_queue import QueueLimits

__all__ = ["BusSpans"]

_WAITING_BYTES = 4 * 2**20
_ROOM_LIMIT_S = 1.0
_LENGTHS_BYTES = 16
"""What the lengths of a message's parts take at the most."""

_Told = tuple[InstrumentationScope | None, Resource, bytes]
"""A span that is written out, and who told it."""


class BusSpans(SpanProcessor):
    """Publishes spans on `subject`, each message an OTLP `ExportTraceServiceRequest` that the server's limit lets pass.

    A span is written out when it ends, in whichever thread that is, without waiting for anything; `run` publishes, in the event loop in
    which this was made. While the bus is away spans wait, up to `waiting_bytes`; those that come then are dropped, and `losses` is told.
    They are published without an acknowledgement, and no span is made of that.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        subject: str,
        limits: QueueLimits,
        losses: Losses,
        waiting_bytes: int = _WAITING_BYTES,
    ) -> None:
        self._connection = connection
        self._subject = subject
        self._limits = limits
        self._losses = losses
        self._most_bytes = waiting_bytes
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting: list[_Told] = []
        self._waiting_bytes = 0
        self._publishing = asyncio.Lock()
        self._some, self._many = asyncio.Event(), asyncio.Event()

    def on_end(self, span: ReadableSpan) -> None:
        """Never waits."""
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        told = span_bytes(span)
        with self._lock:
            if fits := self._waiting_bytes + len(told) <= self._most_bytes:
                self._waiting.append((span.instrumentation_scope, span.resource, told))
                self._waiting_bytes += len(told)
            count = len(self._waiting)
        if not fits:
            self._losses.lost(1)
        elif count == 1:
            self._tell(self._some)
        elif count == self._limits.batch:
            self._tell(self._many)

    async def run(self) -> None:
        """Publish what has ended, as often as the limits say, until cancelled. What still waits then is lost."""
        end = self._connection.on_reconnect(self._some.set)
        try:
            while True:
                await self._some.wait()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.delay_s):
                        await self._many.wait()
                self._some.clear()
                self._many.clear()
                await self.publish()
        finally:
            end()
            if self._waiting:
                self._losses.lost(len(self._waiting))

    async def publish(self) -> None:
        """Publish what has ended until now, if the bus is there."""
        async with self._publishing:
            if not self._connection.is_connected:
                return
            with self._lock:
                told, self._waiting, self._waiting_bytes = self._waiting, [], 0
            messages = deque(self._messages(told))
            try:
                while messages:
                    payload, count = messages[0]
                    try:
                        await self._connection.publish(self._subject, payload, limit_s=_ROOM_LIMIT_S)
                    except BusError:
                        self._losses.lost(count)
                    else:
                        self._losses.taken()
                    messages.popleft()
            finally:
                if messages:
                    self._losses.lost(sum(count for _, count in messages))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """May not wait: `publish` is for that."""
        return True

    def _tell(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # a thread that outlives the event loop
            self._loop.call_soon_threadsafe(event.set)

    def _messages(self, told: Iterable[_Told]) -> Generator[tuple[bytes, int]]:
        by_teller: dict[tuple[int, int], list[_Told]] = {}
        for one in told:
            by_teller.setdefault((id(one[0]), id(one[1])), []).append(one)
        for some in by_teller.values():
            scope, resource, _ = some[0]
            room = self._connection.max_payload_bytes - len(request_bytes(resource, scope, ())) - _LENGTHS_BYTES
            for spans in self._fitting((span for _, _, span in some), room):
                yield request_bytes(resource, scope, spans), len(spans)

    def _fitting(self, spans: Iterable[bytes], room: int) -> Generator[list[bytes]]:
        """Spans that fit in a message together; one that does not fit alone is lost."""
        found, size = list[bytes](), 0
        for span in spans:
            if len(span) > room:
                self._losses.lost(1)
                continue
            if size + len(span) > room:
                yield found
                found, size = [], 0
            found.append(span)
            size += len(span)
        if found:
            yield found
