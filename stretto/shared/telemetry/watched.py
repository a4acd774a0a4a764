"""Watched: an exporter whose failures are counted and told once, instead of each."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from stretto.shared.telemetry.losses import Losses

__all__ = ["Watched"]


class Watched(SpanExporter):
    """`exporter`, with an account of what it does not deliver."""

    def __init__(self, exporter: SpanExporter, *, losses: Losses) -> None:
        self._exporter = exporter
        self._losses = losses

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._losses.taken()
        else:
            self._losses.lost(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
