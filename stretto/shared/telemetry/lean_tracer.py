"""LeanTracer: starts our own spans, of which a run has thirty, for a third of what the SDK's tracer takes.

It leaves out what they do not need: locks, limits, and checks of the values that our own code gives. Where limits are set, the SDK's tracer
does it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    get_current_span,
    use_span,
)
from opentelemetry.util._decorator import _agnosticcontextmanager  # pyright: ignore[reportPrivateUsage]  # the API's signature asks for it
from opentelemetry.util.types import AnyValue, Attributes

from stretto.shared.telemetry.sampler import RunSampler

if TYPE_CHECKING:
    from opentelemetry.trace import _Links  # pyright: ignore[reportPrivateUsage]  # as above

__all__ = ["LeanTracer"]

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)


class LeanTracer(Tracer):
    """Starts spans of one scope, and gives them to `on_end` when they end."""

    def __init__(
        self,
        *,
        scope: InstrumentationScope,
        resource: Resource,
        sampler: RunSampler,
        ids: IdGenerator,
        on_end: Callable[[ReadableSpan], None],
    ) -> None:
        self._scope = scope
        self._resource = resource
        self._sampler = sampler
        self._ids = ids
        self._on_end = on_end

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: "_Links" = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        current = get_current_span(context).get_span_context()
        parent = current if current.is_valid else None
        trace_id = parent.trace_id if parent else self._ids.generate_trace_id()
        state = parent.trace_state if parent else None
        kept = self._sampler.keeps(parent, trace_id)
        told = SpanContext(
            trace_id,
            self._ids.generate_span_id(),
            False,
            _SAMPLED if kept else _NOT_SAMPLED,
            state,
        )
        if not kept:
            return NonRecordingSpan(told)
        return _LeanSpan(
            name=name,
            context=told,
            parent=parent,
            resource=self._resource,
            attributes=dict(attributes) if attributes else {},
            events=[],
            links=list(links) if links else [],
            kind=kind,
            start_time=start_time or time.time_ns(),
            instrumentation_scope=self._scope,
        ).to(self._on_end)

    @_agnosticcontextmanager
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: "_Links" = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        begun = self.start_span(name, context, kind, attributes, links, start_time)
        with use_span(begun, end_on_exit, record_exception, set_status_on_exception) as span:
            yield span


class _LeanSpan(Span, ReadableSpan):
    """A span under way, which can be read as what it is when it has ended."""

    _over = False
    _told: Callable[[ReadableSpan], None]
    _attributes: dict[str, AnyValue]
    _events: list[Event]
    _links: list[Link]

    def to(self, told: Callable[[ReadableSpan], None]) -> "_LeanSpan":
        self._told = told
        return self

    def end(self, end_time: int | None = None) -> None:
        if not self._over:
            self._over = True
            self._end_time = end_time or time.time_ns()
            self._told(self)

    def get_span_context(self) -> SpanContext:
        return self._context or INVALID_SPAN_CONTEXT

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        if not self._over:
            self._attributes.update(attributes)

    def set_attribute(self, key: str, value: AnyValue) -> None:
        if not self._over:
            self._attributes[key] = value

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if not self._over:
            self._events.append(Event(name, attributes, timestamp or time.time_ns()))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        if not self._over:
            self._links.append(Link(context, attributes))

    def update_name(self, name: str) -> None:
        if not self._over:
            self._name = name

    def is_recording(self) -> bool:
        return not self._over

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        if not self._over:
            self._status = status if isinstance(status, Status) else Status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Not told: its text may hold content."""
