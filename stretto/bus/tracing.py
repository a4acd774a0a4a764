"""Tracing: spans of what goes over the bus, in one trace a run. OpenTelemetry's API only: whether anything is recorded, and where it goes,
is the process's own choice (`stretto.shared.telemetry`), or its host application's.

The ids of a run's trace and of its root follow from the run's id: each process knows where its spans belong, though no header came. The
root itself is written once, when the run is over, with its true start (`write_root`): no span stays open while a run waits.

No span holds content: an error is told by its type, never by its text.
"""

import contextlib
import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from stretto import __version__
from stretto.bus.conventions import ERROR_TYPE, LINK

__all__ = [
    "Ids",
    "begin",
    "chosen_ids",
    "fail",
    "headers_of",
    "is_on",
    "parent_from",
    "parent_here",
    "root_of",
    "span",
    "trace_of",
    "write_root",
    "write_span",
]

_TRACER = trace.get_tracer("stretto", __version__)
_PROPAGATOR = TraceContextTextMapPropagator()
_HALF: Final = (1 << 64) - 1

Attributes = Mapping[str, AttributeValue]


class Ids(NamedTuple):
    """Of a span that is written afterwards; `trace` is 0 where its parent says it."""

    trace: int
    span: int


chosen_ids: ContextVar[Ids | None] = ContextVar("chosen_ids", default=None)
"""The ids of the span that is started next. For the id generator of the SDK's provider: the API has no way to say them."""


def is_on() -> bool:
    """Whether anybody records spans. Where nobody does, all here costs next to nothing."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)


def trace_of(run: str) -> str:
    """The id of the run's trace, in hex: the first half of the SHA-256 of the run's id."""
    return hashlib.sha256(run.encode()).hexdigest()[:32]


def root_of(run: str) -> SpanContext:
    """The root of the run's trace. Its span id is the lower half of the trace's id, so that it can be known for a root."""
    trace_id = int(trace_of(run), 16)
    return SpanContext(trace_id, trace_id & _HALF, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def headers_of(span: Span | None = None) -> dict[str, str]:
    """The W3C trace context of a span (by default the current one), as it travels in the headers of messages. No baggage travels."""
    headers: dict[str, str] = {}
    context = None if span is None else trace.set_span_in_context(span)
    _PROPAGATOR.inject(headers, context)
    return headers


def parent_from(headers: Mapping[str, str] | None, run: str) -> tuple[Context, Sequence[Link]]:
    """What a span about a message of the run hangs under: the span that sent the message, or else the run's root.

    A message by hand may say any trace: what belongs to another one is linked to.
    """
    if not is_on():
        return Context(), ()
    root = root_of(run)
    # Not `tracestate`: that is free text of whoever sent the message, and would stand in every span below.
    carried = {"traceparent": (headers or {}).get("traceparent", "")}
    said = trace.get_current_span(_PROPAGATOR.extract(carried, Context())).get_span_context()
    if said.is_valid and said.trace_id == root.trace_id:
        return _under(said), ()
    return _under(root), (Link(said, {LINK: "caller"}),) if said.is_valid else ()


def parent_here(run: str) -> tuple[Context | None, Sequence[Link]]:
    """What a span of the run hangs under that begins here and now: the current span, or, where that is another trace's, the run's root."""
    if not is_on():
        return None, ()
    root, current = root_of(run), trace.get_current_span().get_span_context()
    if current.trace_id == root.trace_id:
        return None, ()
    return _under(root), (Link(current, {LINK: "caller"}),) if current.is_valid else ()


def begin(
    name: str, parent: Context | None, kind: SpanKind, attributes: Attributes | None, links: Sequence[Link] = ()
) -> Span:
    """Start a span, which the caller ends. It is not the current one."""
    # Not the API's own way to mark errors: that puts their texts into the span.
    return _TRACER.start_span(
        name, parent, kind, attributes, links, record_exception=False, set_status_on_exception=False
    )


@contextlib.contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    parent: Context | None = None,
    links: Sequence[Link] = (),
) -> Generator[Span]:
    """A span about the block, the current one in it, under `parent` or the current span. What is raised marks it as failed, by its type;
    a cancellation does not. Yields a span that records nothing where tracing is off.
    """
    if not is_on():
        yield trace.INVALID_SPAN
        return
    with (
        begin(name, parent, kind, attributes, links) as begun,
        trace.use_span(begun, record_exception=False, set_status_on_exception=False),
    ):
        try:
            yield begun
        except Exception as error:
            fail(begun, error)
            raise


def fail(span: Span, error: Exception | str) -> None:
    """Mark a span as failed, by the type of the error."""
    span.set_attribute(ERROR_TYPE, error if isinstance(error, str) else type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))


def write_span(
    name: str,
    *,
    began: datetime,
    ended: datetime,
    parent: Context | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    links: Sequence[Link] = (),
    ids: Ids | None = None,
    error: str | None = None,
) -> None:
    """A span about something that is over. With `ids` it can be written twice and is the same."""
    if not is_on():
        return
    before = chosen_ids.set(ids)
    try:
        written = _TRACER.start_span(name, parent, kind, attributes, links, start_time=_nanos(began))
    finally:
        chosen_ids.reset(before)
    if error:
        fail(written, error)
    written.end(end_time=_nanos(max(began, ended)))


def write_root(
    name: str, *, run: str, began: datetime, ended: datetime, attributes: Attributes, error: str | None = None
) -> None:
    """The root of a run's trace: the whole run."""
    root = root_of(run)
    write_span(
        name,
        began=began,
        ended=ended,
        parent=Context(),
        attributes=attributes,
        ids=Ids(root.trace_id, root.span_id),
        error=error,
    )


def _under(parent: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _nanos(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000
