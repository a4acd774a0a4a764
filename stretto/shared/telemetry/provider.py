"""Provider: of the tracers of a process that has no host application: its own ids and sampler, and an outlet that can be connected."""

from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NoOpTracer, Tracer
from opentelemetry.util.types import Attributes

from stretto.shared.telemetry.ids import ChosenIds
from stretto.shared.telemetry.lean_tracer import LeanTracer
from stretto.shared.telemetry.sampler import RunSampler

__all__ = ["ProcessTracerProvider"]

_OURS: Final = "stretto"
_LEFT_OUT: Final = frozenset({"mcp-python-sdk", "com.anthropic.sdk.python"})


class ProcessTracerProvider(TracerProvider):
    """A process has one for its whole life: the API takes no other. Spans go to the processors that are connected when they end.

    Libraries that trace themselves what we trace, with texts of errors and of what was asked, get tracers that record nothing: what is
    traced below them hangs under the span above.
    """

    def __init__(
        self, *, resource: Resource, sampler: RunSampler, limits: SpanLimits, has_limits: bool = False
    ) -> None:
        self._run_sampler = sampler
        self._has_limits = has_limits
        super().__init__(
            resource=resource,
            sampler=sampler,
            span_limits=limits,
            id_generator=ChosenIds(),
            shutdown_on_exit=False,  # it would wait for exporters longer than a process may; see `open_tracing`
        )
        self._outlet = _Outlet()
        super().add_span_processor(self._outlet)
        self._added: tuple[SpanProcessor, ...] = ()

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        if instrumenting_module_name in _LEFT_OUT:
            return NoOpTracer()
        if instrumenting_module_name == _OURS and not self._has_limits:
            return LeanTracer(
                scope=InstrumentationScope(_OURS, instrumenting_library_version, schema_url, attributes),
                resource=self.resource,
                sampler=self._run_sampler,
                ids=self.id_generator,
                on_end=self._tell,
            )
        return super().get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)

    @property
    def is_connected(self) -> bool:
        return bool(self._outlet.processors)

    def connect(self, *processors: SpanProcessor) -> None:
        """Let spans go there from now on, and nowhere else."""
        self._outlet.processors = processors

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        super().add_span_processor(span_processor)
        self._added += (span_processor,)

    def _tell(self, span: ReadableSpan) -> None:
        for processor in self._outlet.processors:
            processor.on_end(span)
        for processor in self._added:
            processor.on_end(span)


class _Outlet(SpanProcessor):
    def __init__(self) -> None:
        self.processors: tuple[SpanProcessor, ...] = ()

    def on_end(self, span: ReadableSpan) -> None:
        for processor in self.processors:
            processor.on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return all(processor.force_flush(timeout_millis) for processor in self.processors)
