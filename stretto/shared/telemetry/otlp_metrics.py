"""OTLP metrics: the exporter that the standard variables ask for, and how it is told that it does not get through."""

import logging

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from stretto.shared.telemetry.otlp import check_otlp
from stretto.shared.telemetry.variables import Environment, number, said

__all__ = ["TellingOnce", "otlp_metric_exporter"]

_log = logging.getLogger(__name__)
_TIMEOUT_S = 10.0


class TellingOnce(MetricExporter):
    """`exporter`, whose failures are told once, instead of each. Nothing is lost with them for good: sums go on.

    Args:
        where: what it exports to, as it may be shown.

    Attributes:
        is_failing: the last export did not get through.
    """

    def __init__(self, exporter: MetricExporter, *, where: str) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # as the SDK's readers do: it has no other way
        self._exporter = exporter
        self._where = where
        self.is_failing = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> MetricExportResult:
        result = self._exporter.export(metrics_data, timeout_millis, **kwargs)
        failing = result is not MetricExportResult.SUCCESS
        if failing and not self.is_failing:
            _log.warning("metrics are not exported: %s does not take them", self._where)
        elif self.is_failing and not failing:
            _log.info("%s takes metrics again", self._where)
        self.is_failing = failing
        return result

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        self._exporter.shutdown(timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def otlp_metric_exporter(environ: Environment) -> MetricExporter:
    """The exporter of metrics, by OTLP; it reads the standard variables.

    Raises:
        SettingsError: see `check_otlp`.
    """
    if check_otlp("metrics", environ) == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as OverHttp

        return OverHttp()
    return _over_grpc(environ)


def _over_grpc(environ: Environment) -> MetricExporter:
    """Its endpoint, limit and compression are said here: it takes empty variables, and a compression of `none`, for errors."""
    from grpc import Compression  # type: ignore[import-untyped]  # it ships no types
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGrpc

    def word(what: str) -> str:
        return said(environ, f"OTEL_EXPORTER_OTLP_METRICS_{what}", f"OTEL_EXPORTER_OTLP_{what}")

    timeouts = ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    return OverGrpc(
        endpoint=word("ENDPOINT") or "http://localhost:4317",
        timeout=number(environ, *timeouts, default=_TIMEOUT_S),
        compression=Compression.Gzip if word("COMPRESSION").lower() == "gzip" else Compression.NoCompression,
    )
