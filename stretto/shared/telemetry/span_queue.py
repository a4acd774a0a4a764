"""SpanQueue: between the code that ends spans, which never waits, and an exporter, which may: a bounded queue and a thread."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage]  # no public way to say that exports are not to be traced
    attach,
    set_value,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from stretto.shared.telemetry.losses import Losses
from stretto.shared.telemetry.variables import Environment, number

__all__ = ["QueueLimits", "SpanQueue"]

_log = logging.getLogger(__name__)
_DELAY_S, _SPANS, _BATCH = 1.0, 2_048, 512
_ANSWER_S = 1.0
"""An exporter that takes longer for a batch counts as one that is not answered."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What waits, and for how long.

    Attributes:
        delay_s: spans are handed over that often.
        spans: so many may wait; those that come then are dropped.
        batch: so many are handed over at once; when so many wait, they go before the time.
    """

    delay_s: float = _DELAY_S
    spans: int = _SPANS
    batch: int = _BATCH

    @classmethod
    def of(cls, environ: Environment) -> "QueueLimits":
        """What OTEL_BSP_SCHEDULE_DELAY (ms), OTEL_BSP_MAX_QUEUE_SIZE and OTEL_BSP_MAX_EXPORT_BATCH_SIZE say. By default spans are handed
        over sooner than by the standard's: who looks at a run that has just ended wants to see it.

        Raises:
            SettingsError: one is no number that can be.
        """
        spans = int(number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", default=_SPANS, least=1))
        batch = int(number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default=min(_BATCH, spans), least=1, most=spans))
        delay_ms = number(environ, "OTEL_BSP_SCHEDULE_DELAY", default=_DELAY_S * 1_000, least=1)
        return cls(delay_s=delay_ms / 1_000, spans=spans, batch=batch)


class SpanQueue(SpanProcessor):
    """Hands ended spans to `exporter`, in their order. When it is full, those that come are dropped, and `losses` is told. What the
    exporter does not deliver it tells by itself.

    In place of the SDK's BatchSpanProcessor, which does not count what it drops, and whose end cannot be waited for without a thread more.
    """

    def __init__(self, exporter: SpanExporter, *, limits: QueueLimits, losses: Losses) -> None:
        self._exporter = exporter
        self._limits = limits
        self._losses = losses
        self._waiting = deque[ReadableSpan]()
        self._woken = threading.Event()
        self._then: Callable[[], None] | None = None
        self._exporting = threading.Lock()
        self._began_at: float | None = None
        # A daemon: an exporter that hangs must not keep the process.
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    @property
    def is_answered(self) -> bool:
        """Whether the exporter delivers, as far as is known."""
        began_at = self._began_at
        return not self._losses.since_taken and (began_at is None or time.monotonic() - began_at < _ANSWER_S)

    def on_end(self, span: ReadableSpan) -> None:
        """Never waits. After `finish` nothing is taken."""
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled or self._then is not None:
            return
        waiting = len(self._waiting)
        if waiting >= self._limits.spans:
            self._losses.lost(1)
            return
        self._waiting.append(span)
        if waiting + 1 >= self._limits.batch:
            self._woken.set()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hand over what waits. For whoever wants to see it at once, in a thread that may wait for the exporter."""
        if not self._exporting.acquire(timeout=timeout_millis / 1_000):
            return False
        try:
            self._hand_over()
        finally:
            self._exporting.release()
        return True

    def finish(self, then: Callable[[], None]) -> None:
        """Take in nothing more, hand over what waits, and then call `then`, in the queue's thread. Does not wait."""
        self._then = then
        self._woken.set()

    def give_up(self) -> None:
        """Drop what still waits, and close the exporter."""
        if self._waiting:
            self._losses.lost(len(self._waiting))
            self._waiting.clear()
        self._exporter.shutdown()

    def _run(self) -> None:
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # the thread's own context, to its end
        while self._then is None:
            self._woken.wait(self._limits.delay_s)
            self._woken.clear()
            with self._exporting:
                self._hand_over()
        with self._exporting:
            self._hand_over()
        self._then()

    def _hand_over(self) -> None:
        while batch := self._next():
            self._began_at = time.monotonic()
            try:
                self._exporter.export(batch)
            except Exception as error:  # noqa: BLE001 (an exporter's defect must not end the thread: the next batch may go)
                _log.warning("spans cannot be exported: %s", type(error).__name__)
            finally:
                self._began_at = None

    def _next(self) -> list[ReadableSpan]:
        batch = list[ReadableSpan]()
        with contextlib.suppress(IndexError):  # no more wait
            while len(batch) < self._limits.batch:
                batch.append(self._waiting.popleft())
        return batch
