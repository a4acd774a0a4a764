"""Sampler: whether the spans of a run are kept is decided once a run, and alike in all processes."""

from collections.abc import Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    SpanContext,
    SpanKind,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from stretto.shared.telemetry.variables import Environment, number, one_of

__all__ = ["RunSampler", "sampler_of"]

_HALF: Final = (1 << 64) - 1
_PLAIN: Final = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF}
_BY_RATIO: Final = "traceidratio"
_BY_PARENT: Final = "parentbased_"
_KNOWN: Final = tuple(by + name for by in ("", _BY_PARENT) for name in (*_PLAIN, _BY_RATIO))


class RunSampler(Sampler):
    """Asks `sampler`, but takes a run's root for no parent at all.

    The root is written when the run is over, so nobody has decided on it when the first spans hang themselves under it: to a sampler that
    goes by its parent it says nothing. What such a sampler then does with a trace that begins, it does by the trace's id, which all
    processes know.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._by_parent = isinstance(sampler, ParentBased)
        self._all = sampler in (ALWAYS_ON, DEFAULT_ON)

    def keeps(self, parent: SpanContext | None, trace_id: int) -> bool:
        """As `should_sample`, for who needs to know no more."""
        if self._by_parent and parent is not None and not _is_root_of_run(parent):
            return parent.trace_flags.sampled
        return self._all or self._sampler.should_sample(Context(), trace_id, "").decision is Decision.RECORD_AND_SAMPLE

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if _is_root_of_run(get_current_span(parent_context).get_span_context()):
            parent_context = set_span_in_context(INVALID_SPAN, parent_context)
        return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"RunSampler{{{self._sampler.get_description()}}}"


def sampler_of(environ: Environment) -> RunSampler:
    """The sampler that OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG name; all runs are kept where they name none.

    Raises:
        SettingsError: they name none that we know.
    """
    name = one_of(environ, "OTEL_TRACES_SAMPLER", known=_KNOWN, default="parentbased_always_on")
    plain = name.removeprefix(_BY_PARENT)
    if plain == _BY_RATIO:
        sampler: Sampler = TraceIdRatioBased(number(environ, "OTEL_TRACES_SAMPLER_ARG", default=1.0, most=1.0))
    else:
        sampler = _PLAIN[plain]
    if plain == name:
        return RunSampler(sampler)
    return RunSampler(DEFAULT_ON if sampler is ALWAYS_ON else ParentBased(sampler))


def _is_root_of_run(parent: SpanContext) -> bool:
    """See `stretto.bus.tracing.root_of`."""
    return parent.is_remote and parent.is_valid and parent.span_id == parent.trace_id & _HALF
