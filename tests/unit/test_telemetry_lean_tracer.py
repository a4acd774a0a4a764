"""LeanTracer: its spans say the same as those of the SDK's tracer."""

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.context import Context
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
    Tracer,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from stretto.bus.tracing import Ids, chosen_ids, root_of
from stretto.shared.telemetry.ids import ChosenIds
from stretto.shared.telemetry.lean_tracer import LeanTracer
from stretto.shared.telemetry.provider import ProcessTracerProvider
from stretto.shared.telemetry.sampler import RunSampler, sampler_of

_RESOURCE = Resource({"service.name": "test"})


class _Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def _ours(sampler: RunSampler | None = None, *, has_limits: bool = False) -> tuple[ProcessTracerProvider, _Kept]:
    kept = _Kept()
    limits = SpanLimits(max_span_attributes=1) if has_limits else SpanLimits()
    provider = ProcessTracerProvider(
        resource=_RESOURCE, sampler=sampler or sampler_of({}), limits=limits, has_limits=has_limits
    )
    provider.connect(kept)
    return provider, kept


def _sdks() -> tuple[TracerProvider, _Kept]:
    kept = _Kept()
    provider = TracerProvider(
        resource=_RESOURCE, sampler=sampler_of({}), id_generator=ChosenIds(), shutdown_on_exit=False
    )
    provider.add_span_processor(kept)
    return provider, kept


def _tell(tracer: Tracer) -> None:
    root = root_of("acme", "some-run")
    remote = SpanContext(
        root.trace_id, 7, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("one", "1")])
    )
    before = chosen_ids.set(Ids(root.trace_id, root.span_id))
    whole = tracer.start_span("whole", Context(), start_time=5)
    chosen_ids.reset(before)
    whole.end(9)
    for number, parent in enumerate((root, remote)):
        under = set_span_in_context(NonRecordingSpan(parent), Context())
        before = chosen_ids.set(Ids(0, 100 + number))
        span = tracer.start_span(
            "one", under, SpanKind.CLIENT, {"text": "a", "many": ["x", "y"]}, [Link(remote, {"how": "far"})], 10
        )
        chosen_ids.reset(before)
        span.set_attribute("later", 1.5)
        span.set_attributes({"text": "b", "more": True})
        span.add_event("happened", {"times": 3}, 11)
        span.add_link(root, {"how": "near"})
        span.update_name("another")
        span.set_status(Status(StatusCode.ERROR))
        assert span.is_recording()
        span.end(12)
        assert not span.is_recording()


def _told(spans: list[ReadableSpan]) -> ExportTraceServiceRequest:
    """What is exported; a span's attributes have no order."""
    request = encode_spans(spans)
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.attributes.sort(key=lambda one: one.key)
    return request


def test_spans_say_what_the_sdks_say() -> None:
    (lean, by_lean), (sdk, by_sdk) = _ours(), _sdks()
    tracer = lean.get_tracer("stretto", "1.0")
    assert isinstance(tracer, LeanTracer)
    _tell(tracer)
    _tell(sdk.get_tracer("stretto", "1.0"))
    assert _told(by_lean.spans) == _told(by_sdk.spans)


@pytest.mark.parametrize(
    "change",
    [
        lambda span: span.set_attribute("late", 1),
        lambda span: span.set_attributes({"late": 1}),
        lambda span: span.add_event("late"),
        lambda span: span.add_link(root_of("acme", "late")),
        lambda span: span.update_name("late"),
        lambda span: span.set_status(StatusCode.ERROR),
        lambda span: span.end(),
        lambda span: span.record_exception(ValueError("late")),
    ],
)
def test_a_span_that_has_ended_does_not_change(change: Callable[[Any], None]) -> None:
    provider, kept = _ours()
    span = provider.get_tracer("stretto").start_span("one")
    span.end(7)
    before = _told(kept.spans)
    change(span)
    assert len(kept.spans) == 1
    assert _told(kept.spans) == before


@pytest.mark.parametrize("name", ["always_on", "always_off", "parentbased_always_off", "parentbased_traceidratio"])
def test_runs_are_kept_as_by_the_sdk(name: str) -> None:
    environ = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    provider, _ = _ours(sampler_of(environ))
    lean, sdk = provider.get_tracer("stretto"), provider.get_tracer("another")
    assert not isinstance(sdk, LeanTracer)
    for number in range(40):
        root = root_of("acme", f"run-{number}")
        sent = [SpanContext(root.trace_id, 7, is_remote=True, trace_flags=TraceFlags(flags)) for flags in (0, 1)]
        for parent in (root, *sent):
            under = set_span_in_context(NonRecordingSpan(parent), Context())
            one, other = lean.start_span("one", under), sdk.start_span("one", under)
            assert one.is_recording() == other.is_recording()
            assert one.get_span_context().trace_flags == other.get_span_context().trace_flags
            assert one.get_span_context().trace_id == root.trace_id


def test_a_span_can_be_the_current_one() -> None:
    provider, kept = _ours()
    with provider.get_tracer("stretto").start_as_current_span("outer") as outer:
        assert get_current_span() is outer
        with provider.get_tracer("users").start_as_current_span("inner"):
            pass
    inner, ended = kept.spans
    assert inner.parent == ended.get_span_context()


def test_where_limits_are_set_the_sdk_keeps_them() -> None:
    provider, kept = _ours(has_limits=True)
    provider.get_tracer("stretto").start_span("one", attributes={"one": 1, "other": 2}).end()
    assert dict(kept.spans[0].attributes or {}) == {"other": 2}


def test_a_processor_that_somebody_adds_gets_our_spans_too() -> None:
    provider, kept = _ours()
    added = _Kept()
    provider.add_span_processor(added)
    for scope in ("stretto", "users"):
        provider.get_tracer(scope).start_span(scope).end()
    assert [one.name for one in added.spans] == [one.name for one in kept.spans] == ["stretto", "users"]


def test_libraries_that_tell_contents_are_left_out() -> None:
    provider, kept = _ours()
    with provider.get_tracer("mcp-python-sdk").start_as_current_span("left out"):
        provider.get_tracer("stretto").start_span("one").end()
    assert [one.name for one in kept.spans] == ["one"]
    assert kept.spans[0].parent is None
