"""Metering: a process's metrics, from its start to its end: where they go, and that the last of them are told."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from stretto.shared.telemetry.metered import is_metered
from stretto.shared.telemetry.otlp import endpoint_of, quiet
from stretto.shared.telemetry.otlp_metrics import TellingOnce, otlp_metric_exporter
from stretto.shared.telemetry.prometheus import Address, serving
from stretto.shared.telemetry.resource import resource_of
from stretto.shared.telemetry.variables import Environment, number

__all__ = ["Metering", "ProcessMeterProvider"]

_DRAIN_S: Final = 2.0
_HURRIED_S: Final = 0.5


class ProcessMeterProvider(MeterProvider):
    """A process has one for its whole life: the API takes no other. Its readers come and go."""

    def __init__(self, *, resource: Resource) -> None:
        super().__init__(
            resource=resource, shutdown_on_exit=False
        )  # it would wait for exporters longer than a process may
        self.is_connected = False


@dataclass(frozen=True, slots=True)
class Metering:
    """What the standard variables say of metrics.

    Attributes:
        exporters: by their names in OTEL_METRICS_EXPORTER.
        address: for `prometheus`.
        interval_s: how often the others export.
    """

    exporters: Sequence[str]
    address: Address
    interval_s: float
    environ: Environment

    @classmethod
    def of(cls, exporters: Sequence[str], environ: Environment) -> "Metering | None":
        """As `metering_of`, where there are exporters."""
        current = metrics.get_meter_provider()
        hosted = current.is_connected if isinstance(current, ProcessMeterProvider) else is_metered()
        interval_ms = number(environ, "OTEL_METRIC_EXPORT_INTERVAL", default=60_000, least=1)
        address = Address.of(environ) if "prometheus" in exporters else Address()
        return None if hosted else cls(exporters, address, interval_ms / 1_000, environ)

    @contextlib.asynccontextmanager
    async def open(self, *, service: str, instance: str, drain_s: float = _DRAIN_S) -> AsyncGenerator[None]:
        """Tell the metrics as those of an instance of `service`.

        At the end they are exported once more: for that there are `drain_s`, half a second after a cancellation, or where they do not
        get through anyway.
        """
        provider = _provider(service, instance)
        provider.is_connected = True
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(setattr, provider, "is_connected", False)
            pushing: list[tuple[PeriodicExportingMetricReader, TellingOnce]] = []
            for name in self.exporters:
                if name != "prometheus":
                    pushing.append(self._pushing(name))
                    provider.add_metric_reader(pushing[-1][0])
                elif (served := await stack.enter_async_context(serving(self.address))) is not None:
                    provider.add_metric_reader(served)
                    stack.callback(provider.remove_metric_reader, served)
            try:
                yield
            except asyncio.CancelledError:
                drain_s = min(drain_s, _HURRIED_S)
                raise
            finally:
                if all(exporter.is_failing for _, exporter in pushing):  # who does not answer is hardly waited for
                    drain_s = min(drain_s, _HURRIED_S)
                await _within(drain_s, *(_last_words(provider, reader, drain_s) for reader, _ in pushing))

    def _pushing(self, name: str) -> tuple[PeriodicExportingMetricReader, TellingOnce]:
        if name == "console":
            exporter = TellingOnce(ConsoleMetricExporter(out=sys.stderr), where="stderr")
        else:
            exporter = TellingOnce(otlp_metric_exporter(self.environ), where=endpoint_of("metrics", self.environ))
            quiet()
        return PeriodicExportingMetricReader(exporter, export_interval_millis=self.interval_s * 1_000), exporter


def _provider(service: str, instance: str) -> ProcessMeterProvider:
    current = metrics.get_meter_provider()
    if isinstance(current, ProcessMeterProvider):
        return current
    provider = ProcessMeterProvider(resource=resource_of(service, instance))
    metrics.set_meter_provider(provider)
    return provider


def _last_words(provider: MeterProvider, reader: MetricReader, limit_s: float) -> Callable[[], None]:
    def say() -> None:
        reader.force_flush(limit_s * 1_000)
        provider.remove_metric_reader(reader)

    return say


async def _within(limit_s: float, *calls: Callable[[], None]) -> None:
    """Make these calls in threads that nothing waits for once the time is up: an exporter may wait long for an endpoint that is away."""
    loop = asyncio.get_running_loop()
    ended = [asyncio.Event() for _ in calls]

    def make(call: Callable[[], None], over: asyncio.Event) -> None:
        try:
            call()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody has waited
                loop.call_soon_threadsafe(over.set)

    for call, over in zip(calls, ended, strict=True):
        threading.Thread(target=make, args=(call, over), daemon=True).start()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            for over in ended:
                await over.wait()
