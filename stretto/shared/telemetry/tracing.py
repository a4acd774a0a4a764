"""Tracing: how a process's spans are recorded, and told: on the bus, and wherever the standard variables say besides."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter

from stretto.bus.connection import Connection
from stretto.bus.subjects import Subjects
from stretto.shared.settings import SettingsError
from stretto.shared.telemetry.bus_spans import BusSpans
from stretto.shared.telemetry.losses import Losses
from stretto.shared.telemetry.otlp import endpoint_of, exporters_of, otlp_span_exporter, quiet
from stretto.shared.telemetry.provider import ProcessTracerProvider
from stretto.shared.telemetry.resource import resource_of
from stretto.shared.telemetry.sampler import RunSampler, sampler_of
from stretto.shared.telemetry.span_queue import QueueLimits, SpanQueue
from stretto.shared.telemetry.variables import Environment
from stretto.shared.telemetry.watched import Watched

__all__ = ["Tracing", "is_hosted"]

_DRAIN_S: Final = 2.0
_HURRIED_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Tracing:
    """How a process is to record its spans, and where they go beside the bus: what the standard variables say.

    Attributes:
        exporters: by their names in OTEL_TRACES_EXPORTER.
    """

    sampler: RunSampler
    span_limits: SpanLimits
    queue_limits: QueueLimits
    exporters: Sequence[str]
    environ: Environment

    @classmethod
    def of(cls, environ: Environment) -> "Tracing":
        """What the variables say.

        Raises:
            SettingsError: one says what cannot be, or an exporter is not installed.
        """
        try:
            span_limits = SpanLimits()
        except ValueError as error:
            raise SettingsError(str(error)) from error
        return cls(
            sampler=sampler_of(environ),
            span_limits=span_limits,
            queue_limits=QueueLimits.of(environ),
            exporters=exporters_of("traces", environ),
            environ=environ,
        )

    @contextlib.asynccontextmanager
    async def open(
        self,
        connection: Connection,
        *,
        subjects: Subjects,
        service: str,
        instance: str,
        drain_s: float = _DRAIN_S,
    ) -> AsyncGenerator[None]:
        """Record, and tell the spans as those of an instance of `service`. Not where `is_hosted`.

        At the end what was recorded is handed over: for that there are `drain_s`, half a second after a cancellation, and no time for who
        does not answer anyway. What is left then is lost, and counted.
        """
        losses = Losses("bus", "the bus")
        bus = BusSpans(connection=connection, subject=subjects.span(service), limits=self.queue_limits, losses=losses)
        provider = _provider(self, service, instance)
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(bus.run())
            queues = [self._queue_to(name) for name in self.exporters]
            provider.connect(bus, *queues)
            try:
                yield
            except asyncio.CancelledError:
                drain_s = min(drain_s, _HURRIED_S)
                raise
            finally:
                provider.connect()
                try:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(drain_s):
                            await _drain(bus, queues)
                finally:
                    for queue in queues:
                        queue.give_up()
                    publishing.cancel()

    def _queue_to(self, name: str) -> SpanQueue:
        if name == "console":
            exporter: SpanExporter = ConsoleSpanExporter(out=sys.stderr)
            losses = Losses("console", "stderr")
        else:
            exporter = otlp_span_exporter(self.environ)
            losses = Losses("otlp", endpoint_of("traces", self.environ))
            quiet()
        return SpanQueue(Watched(exporter, losses=losses), limits=self.queue_limits, losses=losses)


def is_hosted() -> bool:
    """Whether spans are somebody else's matter: whoever hosts this process has set a provider, or an open `Tracing` of ours has."""
    current = trace.get_tracer_provider()
    if isinstance(current, ProcessTracerProvider):
        return current.is_connected
    return not isinstance(current, trace.ProxyTracerProvider)


async def _drain(bus: BusSpans, queues: Sequence[SpanQueue]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(bus.publish())
        for queue in queues:
            if queue.is_answered:
                group.create_task(_finish(queue))


async def _finish(queue: SpanQueue) -> None:
    loop, finished = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # nobody waits any more, and the loop is closed
            loop.call_soon_threadsafe(finished.set)

    queue.finish(tell)
    await finished.wait()


def _provider(tracing: Tracing, service: str, instance: str) -> ProcessTracerProvider:
    current = trace.get_tracer_provider()
    if isinstance(current, ProcessTracerProvider):
        return current  # `stretto ask` goes on with another system when the first one stops
    provider = ProcessTracerProvider(
        resource=resource_of(service, instance),
        sampler=tracing.sampler,
        limits=tracing.span_limits,
        has_limits=_has_limits(tracing.environ),
    )
    trace.set_tracer_provider(provider)
    return provider


def _has_limits(environ: Environment) -> bool:
    return any(name.startswith("OTEL_") and name.endswith("_LIMIT") and value for name, value in environ.items())
