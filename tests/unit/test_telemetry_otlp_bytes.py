"""OTLP bytes: what is written by hand says the same as what the library writes."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from stretto.shared.telemetry.otlp_bytes import request_bytes, span_bytes


class _Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


_TEXTS = st.text(max_size=300)
_PLAIN = st.one_of(
    _TEXTS, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=50)
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(min_size=1, max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)
_ATTRIBUTES = st.dictionaries(st.text(min_size=1, max_size=40), _VALUES, max_size=6)
_TIMES = st.integers(1, 2**63 - 1)
_CONTEXTS = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.just(TraceFlags(TraceFlags.SAMPLED)),
    trace_state=st.sampled_from([TraceState(), TraceState([("one", "1"), ("other", "2")])]),
)
_LINKS = st.lists(st.builds(Link, _CONTEXTS, _ATTRIBUTES), max_size=3)
_EVENTS = st.lists(st.tuples(_TEXTS, _ATTRIBUTES, _TIMES), max_size=3)
_STATUSES = st.sampled_from(
    [Status(), Status(StatusCode.OK), Status(StatusCode.ERROR), Status(StatusCode.ERROR, "why")]
)


def _by_hand(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    one, found = spans[0], ExportTraceServiceRequest()
    found.ParseFromString(request_bytes(one.resource, one.instrumentation_scope, map(span_bytes, spans)))
    return found


@given(
    parent=st.none() | _CONTEXTS,
    name=_TEXTS,
    kind=st.sampled_from(SpanKind),
    attributes=_ATTRIBUTES,
    links=_LINKS,
    events=_EVENTS,
    status=_STATUSES,
    times=st.tuples(_TIMES, _TIMES),
    limited=st.booleans(),
)
def test_a_span_says_what_the_library_says(
    *,
    parent: SpanContext | None,
    name: str,
    kind: SpanKind,
    attributes: dict[str, Any],
    links: list[Link],
    events: list[tuple[str, dict[str, Any], int]],
    status: Status,
    times: tuple[int, int],
    limited: bool,
) -> None:
    kept = _Kept()
    limits = SpanLimits(max_span_attributes=2, max_events=1, max_links=1) if limited else SpanLimits()
    resource = Resource({"service.name": "test", **attributes}, "https://example.com/schema")
    provider = TracerProvider(resource=resource, span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(kept)
    context = set_span_in_context(NonRecordingSpan(parent)) if parent else None
    span = provider.get_tracer("scope", "1.0", "https://example.com/other", attributes).start_span(
        name, context, kind, attributes, links, times[0]
    )
    for event, its_attributes, at in events:
        span.add_event(event, its_attributes, at)
    span.set_status(status)
    span.end(times[1])
    assert _by_hand(kept.spans) == encode_spans(kept.spans)


def test_numbers_and_truth_are_told_apart() -> None:
    kept = _Kept()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kept)
    for value in (1, True, 1.0, "1"):
        provider.get_tracer("scope").start_span("one", attributes={"same": value}).end()
    assert _by_hand(kept.spans) == encode_spans(kept.spans)


def test_requests_one_behind_the_other_are_one_request() -> None:
    kept = _Kept()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kept)
    for scope in ("one", "other"):
        provider.get_tracer(scope).start_span("one").end()
    parts = [request_bytes(one.resource, one.instrumentation_scope, [span_bytes(one)]) for one in kept.spans]
    scopes = [
        scope.scope.name
        for of_resource in ExportTraceServiceRequest.FromString(b"".join(parts)).resource_spans
        for scope in of_resource.scope_spans
    ]
    assert scopes == ["one", "other"]
