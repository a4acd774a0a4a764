"""Ids and samplers: what is written twice is the same, and a run is kept whole or not at all, in whichever process."""

import random
import uuid
from datetime import UTC, datetime

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from stretto.bus.tracing import Ids, chosen_ids, root_of
from stretto.shared.telemetry.ids import ChosenIds
from stretto.shared.telemetry.sampler import RunSampler

_AT = datetime(2026, 1, 1, tzinfo=UTC)


def _tracer(sampler: Sampler = ALWAYS_ON) -> Tracer:
    provider = TracerProvider(id_generator=ChosenIds(), sampler=RunSampler(sampler), shutdown_on_exit=False)
    return provider.get_tracer("test")


def _start(tracer: Tracer, ids: Ids | None, parent: Context) -> Span:
    before = chosen_ids.set(ids)
    try:
        return tracer.start_span("one", parent)
    finally:
        chosen_ids.reset(before)


def _under(parent: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), Context())


def test_a_span_whose_ids_are_chosen_has_them() -> None:
    root = root_of("acme", "some-run")
    span = _start(_tracer(), Ids(root.trace_id, root.span_id), Context())
    assert (span.get_span_context().trace_id, span.get_span_context().span_id) == (root.trace_id, root.span_id)


def test_where_only_the_span_is_chosen_the_parent_says_the_trace() -> None:
    root = root_of("acme", "some-run")
    span = _start(_tracer(), Ids(0, 42), _under(root))
    assert (span.get_span_context().trace_id, span.get_span_context().span_id) == (root.trace_id, 42)


def test_where_there_is_no_parent_and_no_trace_is_chosen_there_is_one_all_the_same() -> None:
    assert _start(_tracer(), Ids(0, 42), Context()).get_span_context().is_valid


def test_other_ids_differ_though_randomness_is_seeded() -> None:
    seen = set[tuple[int, int]]()
    for _ in range(50):
        random.seed(7)
        context = _start(_tracer(), None, Context()).get_span_context()
        seen.add((context.trace_id, context.span_id))
    assert len({trace for trace, _ in seen}) == len({span for _, span in seen}) == 50


@pytest.mark.parametrize("base", [ALWAYS_OFF, ParentBased(ALWAYS_OFF), ParentBased(TraceIdRatioBased(0.0))])
def test_the_root_of_a_run_is_no_reason_to_keep_its_spans(base: Sampler) -> None:
    assert not _tracer(base).start_span("one", _under(root_of("acme", "some-run"))).is_recording()


def test_each_process_keeps_the_same_runs_and_so_does_whoever_writes_their_roots() -> None:
    runs = [str(uuid.uuid4()) for _ in range(200)]
    kept = list[list[bool]]()
    for tracer in (_tracer(ParentBased(TraceIdRatioBased(0.5))), _tracer(ParentBased(TraceIdRatioBased(0.5)))):
        kept.append([tracer.start_span("one", _under(root_of("acme", run))).is_recording() for run in runs])
    writer = _tracer(ParentBased(TraceIdRatioBased(0.5)))
    roots = [root_of("acme", run) for run in runs]
    kept.append([_start(writer, Ids(one.trace_id, one.span_id), Context()).is_recording() for one in roots])
    assert kept[0] == kept[1] == kept[2]
    assert 50 < sum(kept[0]) < 150


@pytest.mark.parametrize("kept", [True, False])
def test_what_another_process_decided_on_its_span_holds(kept: bool) -> None:
    flags = TraceFlags(TraceFlags.SAMPLED if kept else TraceFlags.DEFAULT)
    sent = SpanContext(root_of("acme", "some-run").trace_id, 42, is_remote=True, trace_flags=flags)
    span = _tracer(ParentBased(ALWAYS_OFF if kept else ALWAYS_ON)).start_span("one", _under(sent))
    assert span.is_recording() is kept


def test_a_span_under_the_root_still_hangs_under_it() -> None:
    root = root_of("acme", "some-run")
    provider = TracerProvider(
        id_generator=ChosenIds(), sampler=RunSampler(ParentBased(ALWAYS_ON)), shutdown_on_exit=False
    )
    span = provider.get_tracer("test").start_span("one", _under(root))
    assert getattr(span, "parent", None) == root
    assert span is not INVALID_SPAN
