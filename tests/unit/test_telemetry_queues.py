"""BusSpans and SpanQueue: nobody waits for them, and what they cannot hand on is counted."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import cast

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from stretto.bus.connection import Connection
from stretto.bus.errors import Unreachable
from stretto.shared.telemetry.bus_spans import BusSpans
from stretto.shared.telemetry.losses import Losses
from stretto.shared.telemetry.otlp_bytes import request_bytes, span_bytes
from stretto.shared.telemetry.span_queue import QueueLimits, SpanQueue
from stretto.shared.telemetry.watched import Watched

_LIMIT_S = 10.0


class _Bus:
    """A connection, as far as the exporter needs one."""

    def __init__(self, *, max_payload_bytes: int = 1_000_000) -> None:
        self.is_connected = True
        self.max_payload_bytes = max_payload_bytes
        self.refuses = False
        self.messages: list[bytes] = []
        self._listeners: list[Callable[[], None]] = []
        self.published = asyncio.Event()

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def reconnect(self) -> None:
        self.is_connected = True
        for callback in self._listeners:
            callback()

    async def publish(self, subject: str, payload: bytes, *, limit_s: float | None = None) -> None:
        assert (subject, limit_s is not None) == ("test.span.writer", True)
        if self.refuses:
            raise Unreachable("the send buffer is full")
        self.messages.append(payload)
        self.published.set()

    @property
    def names(self) -> list[str]:
        found = [ExportTraceServiceRequest.FromString(one) for one in self.messages]
        return [
            span.name for one in found for of in one.resource_spans for scope in of.scope_spans for span in scope.spans
        ]


class _Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def _spans(count: int, *, text: str = "", scope: str = "test") -> list[ReadableSpan]:
    kept = _Kept()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kept)
    for number in range(count):
        provider.get_tracer(scope).start_span(f"span {number}", attributes={"text": text}).end()
    return kept.spans


def _bytes_of(spans: Sequence[ReadableSpan]) -> int:
    """What a message with these takes, and the little more that is left for lengths."""
    return len(request_bytes(spans[0].resource, spans[0].instrumentation_scope, map(span_bytes, spans))) + 16


@contextlib.asynccontextmanager
async def _telling(
    bus: _Bus, *, waiting_bytes: int = 1_000_000, batch: int = 512, delay_s: float = 60.0
) -> AsyncGenerator[tuple[BusSpans, Losses]]:
    losses = Losses("bus", "the bus")
    telling = BusSpans(
        connection=cast("Connection", bus),
        subject="test.span.writer",
        limits=QueueLimits(delay_s=delay_s, batch=batch),
        losses=losses,
        waiting_bytes=waiting_bytes,
    )
    async with asyncio.timeout(_LIMIT_S), asyncio.TaskGroup() as group:
        running = group.create_task(telling.run())
        await asyncio.sleep(0)  # it listens to reconnects
        yield telling, losses
        running.cancel()


async def test_what_ends_in_any_thread_is_published_in_its_order() -> None:
    bus = _Bus()
    async with _telling(bus) as (telling, losses):
        for span in _spans(6):
            await asyncio.to_thread(telling.on_end, span)
        assert bus.messages == []
        await telling.publish()
        assert bus.names == [f"span {number}" for number in range(6)]
        assert (len(bus.messages), losses.since_taken) == (1, 0)


@pytest.mark.parametrize(("batch", "delay_s"), [(512, 0.01), (3, 60.0)], ids=["when it is time", "when there are many"])
async def test_it_is_published_by_itself(batch: int, delay_s: float) -> None:
    bus = _Bus()
    async with _telling(bus, batch=batch, delay_s=delay_s) as (telling, _):
        for _ in range(2):
            bus.published.clear()
            _end(telling, _spans(3))
            await bus.published.wait()
        assert bus.names == ["span 0", "span 1", "span 2"] * 2


async def test_each_tells_under_its_own_name() -> None:
    bus = _Bus()
    async with _telling(bus) as (telling, _):
        _end(telling, [*_spans(2, scope="one"), *_spans(1, scope="other")])
        await telling.publish()
    found = [ExportTraceServiceRequest.FromString(one) for one in bus.messages]
    scopes = [scope.scope.name for one in found for of in one.resource_spans for scope in of.scope_spans]
    assert scopes == ["one", "other"]


async def test_what_is_told_is_split_so_that_each_message_is_under_the_servers_limit() -> None:
    spans = _spans(10, text="x" * 1_000)
    bus = _Bus(max_payload_bytes=_bytes_of(spans[:3]))
    async with _telling(bus) as (telling, losses):
        _end(telling, spans)
        await telling.publish()
    assert bus.names == [f"span {number}" for number in range(10)]
    assert len(bus.messages) == 4
    assert max(map(len, bus.messages)) <= bus.max_payload_bytes
    assert losses.since_taken == 0


async def test_a_span_over_the_servers_limit_is_dropped_alone() -> None:
    [small] = _spans(1)
    bus = _Bus(max_payload_bytes=_bytes_of([small]))
    async with _telling(bus) as (telling, _):
        _end(telling, [*_spans(1, text="x" * 2_000), small])
        await telling.publish()
    assert bus.names == ["span 0"]


async def test_while_the_bus_is_away_spans_wait_and_those_over_the_limit_are_dropped_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    bus = _Bus()
    bus.is_connected = False
    spans = _spans(5)
    async with _telling(bus, waiting_bytes=len(span_bytes(spans[0])) * 2, delay_s=0.01) as (telling, losses):
        _end(telling, spans)
        await telling.publish()  # does not wait for a bus that is away
        assert (bus.names, losses.since_taken) == ([], 3)
        bus.reconnect()
        await bus.published.wait()
        assert bus.names == ["span 0", "span 1"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "3" in caplog.messages[1]


async def test_what_cannot_be_sent_is_dropped_and_what_comes_later_goes() -> None:
    bus = _Bus()
    bus.refuses = True
    async with _telling(bus) as (telling, losses):
        _end(telling, _spans(1))
        await telling.publish()
        assert losses.since_taken == 1
        bus.refuses = False
        _end(telling, _spans(2)[1:])
        await telling.publish()
        assert (bus.names, losses.since_taken) == (["span 1"], 0)


async def test_what_still_waits_at_the_end_is_counted() -> None:
    bus = _Bus()
    bus.is_connected = False
    async with _telling(bus) as (telling, losses):
        _end(telling, _spans(4))
        await telling.publish()
    assert losses.since_taken == 4


def test_a_thread_that_outlives_the_event_loop_is_not_harmed() -> None:
    async def make() -> BusSpans:
        limits, losses = QueueLimits(), Losses("bus", "the bus")
        return BusSpans(connection=cast("Connection", _Bus()), subject="s", limits=limits, losses=losses)

    _end(asyncio.run(make()), _spans(2))


# The queue


class _Slow(SpanExporter):
    """An exporter that waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun, self.let_go, self.closed = threading.Event(), threading.Event(), threading.Event()
        self.fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.begun.set()
        self.let_go.wait(_LIMIT_S)
        if self.fails:
            raise ValueError("a defect")
        self.batches.append([span.name for span in spans])
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.closed.set()


def _end(queue: SpanProcessor, spans: Sequence[ReadableSpan]) -> None:
    for span in spans:
        queue.on_end(span)


def _finish(queue: SpanQueue) -> threading.Event:
    finished = threading.Event()
    queue.finish(finished.set)
    return finished


def test_spans_are_handed_over_in_batches_and_in_order() -> None:
    slow = _Slow()
    queue = SpanQueue(slow, limits=QueueLimits(delay_s=60, batch=2), losses=Losses("otlp", "there"))
    _end(queue, _spans(5))
    assert slow.begun.wait(_LIMIT_S)  # before its time: a batch is full
    slow.let_go.set()
    assert _finish(queue).wait(_LIMIT_S)
    assert [name for batch in slow.batches for name in batch] == [f"span {number}" for number in range(5)]
    assert max(map(len, slow.batches)) == 2


def test_a_full_queue_drops_what_comes_and_waits_for_nobody() -> None:
    slow, losses = _Slow(), Losses("otlp", "there")
    queue = SpanQueue(slow, limits=QueueLimits(delay_s=60, spans=3, batch=1), losses=losses)
    spans = _spans(8)
    queue.on_end(spans[0])
    assert slow.begun.wait(_LIMIT_S)
    _end(queue, spans[1:])
    assert losses.since_taken == 4
    slow.let_go.set()
    assert _finish(queue).wait(_LIMIT_S)
    assert [name for batch in slow.batches for name in batch] == [f"span {number}" for number in range(4)]


def test_what_is_given_up_is_counted_and_the_exporter_closed() -> None:
    slow, losses = _Slow(), Losses("otlp", "there")
    queue = SpanQueue(Watched(slow, losses=losses), limits=QueueLimits(delay_s=60, batch=1), losses=losses)
    _end(queue, _spans(3))
    finished = _finish(queue)
    assert slow.begun.wait(_LIMIT_S)
    queue.give_up()
    assert (losses.since_taken, slow.closed.is_set()) == (3, True), "the one in hand too"
    slow.fails = True
    slow.let_go.set()
    assert finished.wait(_LIMIT_S)
    assert losses.since_taken == 3, "each is counted once"


def test_an_exporters_defect_costs_its_batch_alone() -> None:
    slow, losses = _Slow(), Losses("otlp", "there")
    slow.let_go.set()
    slow.fails = True
    queue = SpanQueue(Watched(slow, losses=losses), limits=QueueLimits(delay_s=60), losses=losses)
    _end(queue, _spans(2))
    assert queue.force_flush()
    assert (losses.since_taken, queue.is_answered) == (2, False)
    slow.fails = False
    _end(queue, _spans(1))
    assert _finish(queue).wait(_LIMIT_S)
    assert slow.batches == [["span 0"]]


def test_after_its_end_nothing_is_taken() -> None:
    slow = _Slow()
    slow.let_go.set()
    queue = SpanQueue(slow, limits=QueueLimits(delay_s=60), losses=Losses("otlp", "there"))
    assert _finish(queue).wait(_LIMIT_S)
    _end(queue, _spans(2))
    assert slow.batches == []


class _Failing(SpanExporter):
    def __init__(self) -> None:
        self.result = SpanExportResult.FAILURE

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.result


def test_an_endpoint_that_is_down_is_told_once_and_so_is_its_return(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failing, losses = _Failing(), Losses("otlp", "127.0.0.1:4318")
    watched = Watched(failing, losses=losses)
    for _ in range(3):
        watched.export(_spans(2))
    assert losses.since_taken == 6
    failing.result = SpanExportResult.SUCCESS
    watched.export(_spans(1))
    assert losses.since_taken == 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "127.0.0.1:4318" in caplog.text
    assert "6" in caplog.messages[1]


def test_what_comes_and_goes_is_not_told_each_time(caplog: pytest.LogCaptureFixture) -> None:
    losses = Losses("bus", "the bus")
    for _ in range(5):
        losses.lost(1)
        losses.taken()
    assert len(caplog.messages) == 1
