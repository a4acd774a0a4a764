"""Watched: an exporter whose failures are counted and told once, instead of each."""

import threading
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from stretto.shared.telemetry.losses import Losses

__all__ = ["Watched"]


class Watched(SpanExporter):
    """`exporter`, with an account of what it does not deliver; what it has in hand when it is shut down counts as that."""

    def __init__(self, exporter: SpanExporter, *, losses: Losses) -> None:
        self._exporter = exporter
        self._losses = losses
        self._lock = threading.Lock()
        self._in_hand = 0
        self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._in_hand = len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            with self._lock:
                self._in_hand, counted = 0, self._closed
            if result is SpanExportResult.SUCCESS:
                self._losses.taken()
            elif not counted:
                self._losses.lost(len(spans))
        return result

    def shutdown(self) -> None:
        with self._lock:
            self._closed = True
        if self._in_hand:
            self._losses.lost(self._in_hand)
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
