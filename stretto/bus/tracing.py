"""Tracing: spans of what goes over the bus, in one trace a run. OpenTelemetry's API only: whether anything is recorded, and where it goes,
is the process's own choice (`stretto.shared.telemetry`), or its host application's.

The ids of a run's trace and of its root follow from the run's id: each process knows where its spans belong, though no header came. The
root itself is written once, when the run is over, with its true start (`write_root`): no span stays open while a run waits.

No span holds content: an error is told by its type, never by its text.
"""

import contextlib
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from datetime import datetime
from types import TracebackType
from typing import Final, NamedTuple

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from stretto import __version__
from stretto.bus.conventions import ERROR_TYPE, LINK

__all__ = [
    "Current",
    "Ids",
    "begin",
    "chosen_ids",
    "fail",
    "headers_of",
    "ids_of",
    "is_on",
    "link_from",
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
_OFF: Final = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
_TRACEPARENT: Final = "traceparent"
_OURS: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NOTHING: Final = contextlib.nullcontext(trace.INVALID_SPAN)
_KNOWN_ROOTS: Final = 4_096

Attributes = Mapping[str, AttributeValue]


class Ids(NamedTuple):
    """Of a span that is written afterwards; `trace` is 0 where its parent says it."""

    trace: int
    span: int


chosen_ids: ContextVar[Ids | None] = ContextVar("chosen_ids", default=None)
"""The ids of the span that is started next. For the id generator of the SDK's provider: the API has no way to say them."""


def is_on() -> bool:
    """Whether anybody records spans. Where nobody does, all here costs next to nothing."""
    return type(trace.get_tracer_provider()) not in _OFF


def trace_of(tenant: str, run: str) -> str:
    """The id of the run's trace, in hex: the first half of the SHA-256 of `TENANT/RUN`. Tenants may choose the same id for a run: what they
    tell must not come together."""
    return hashlib.sha256(f"{tenant}/{run}".encode()).hexdigest()[:32]


@functools.lru_cache(maxsize=_KNOWN_ROOTS)
def root_of(tenant: str, run: str) -> SpanContext:
    """The root of the run's trace. Its span id is the lower half of the trace's id, so that it can be known for a root."""
    trace_id = int(trace_of(tenant, run), 16)
    return SpanContext(trace_id, trace_id & _HALF, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def ids_of(name: str) -> Ids:
    """A span id that follows from a name, for what may be told twice."""
    return Ids(0, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def headers_of(span: Span | None = None) -> dict[str, str]:
    """The W3C trace context of a span (by default the current one), as it travels in the headers of messages. Neither baggage nor
    `tracestate` travels."""
    said = (span or trace.get_current_span()).get_span_context()
    if not said.is_valid:
        return {}
    return {_TRACEPARENT: f"00-{said.trace_id:032x}-{said.span_id:016x}-{said.trace_flags:02x}"}


def parent_from(headers: Mapping[str, str] | None, tenant: str, run: str) -> tuple[Context, Sequence[Link]]:
    """What a span about a message of the run hangs under: the span that sent the message, or else the run's root. Outside of all runs (no
    `run`) it is the one that sent the message, or none.

    A message by hand may say any trace: what belongs to another one is linked to.
    """
    if not is_on():
        return Context(), ()
    said = _said(headers)
    if not run:
        return (_under(said) if said else Context()), ()
    root = root_of(tenant, run)
    if said is None or said.trace_id != root.trace_id:
        return _under(root), (Link(said, {LINK: "caller"}),) if said else ()
    return _under(said), ()


def link_from(headers: Mapping[str, str] | None, tenant: str, run: str, how: str) -> tuple[Link, ...]:
    """A link to the span of the run that a message's headers name; none where they name none of it."""
    said = _said(headers) if is_on() else None
    return (Link(said, {LINK: how}),) if said and said.trace_id == root_of(tenant, run).trace_id else ()


def parent_here(tenant: str, run: str) -> tuple[Context | None, Sequence[Link]]:
    """What a span of the run hangs under that begins here and now: the current span, or, where that is another trace's, the run's root."""
    if not is_on():
        return None, ()
    root, current = root_of(tenant, run), trace.get_current_span().get_span_context()
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


def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    parent: Context | None = None,
    links: Sequence[Link] = (),
) -> AbstractContextManager[Span]:
    """A span about the block, the current one in it, under `parent` or the current span. What is raised marks it as failed, by its type;
    a cancellation does not. Gives a span that records nothing where tracing is off.
    """
    return Current(begin(name, parent, kind, attributes, links)) if is_on() else _NOTHING


class Current:
    """`with Current(span):` it is the current span within the block, and ends with it. What is raised marks it as failed, by its type; a
    cancellation does not."""

    __slots__ = ("_span", "_token")
    _token: Token[Context]

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        self._token = contexts.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        contexts.detach(self._token)
        if isinstance(error, Exception):
            fail(self._span, error)
        self._span.end()


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
    name: str,
    *,
    tenant: str,
    run: str,
    began: datetime,
    ended: datetime,
    attributes: Attributes,
    error: str | None = None,
) -> None:
    """The root of a run's trace: the whole run."""
    root = root_of(tenant, run)
    write_span(
        name,
        began=began,
        ended=ended,
        parent=Context(),
        attributes=attributes,
        ids=Ids(root.trace_id, root.span_id),
        error=error,
    )


def _said(headers: Mapping[str, str] | None) -> SpanContext | None:
    """The span that headers name."""
    # Not `tracestate`: that is free text of whoever sent the message, and would stand in every span below.
    carried = headers.get(_TRACEPARENT) if headers else None
    if carried is None:
        return None
    ours = _OURS.fullmatch(carried)
    if ours:  # as we write it: quicker than the propagator, which all else is left to
        said = SpanContext(int(ours[1], 16), int(ours[2], 16), is_remote=True, trace_flags=TraceFlags(int(ours[3], 16)))
    else:
        context = _PROPAGATOR.extract({_TRACEPARENT: carried}, Context())
        said = trace.get_current_span(context).get_span_context()
    return said if said.is_valid else None


def _under(parent: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _nanos(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000
