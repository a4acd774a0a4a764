"""Losses: spans that could not be handed on: counted, and told once."""

import logging
import threading
import time
from typing import Final, Literal

from opentelemetry import metrics

from stretto import __version__
from stretto.bus.conventions import EXPORTER, SPANS_DROPPED

__all__ = ["Losses"]

_log = logging.getLogger(__name__)
_METER: Final = metrics.get_meter("stretto", __version__)
_QUIET_S: Final = 60.0
_DROPPED: Final = _METER.create_counter(SPANS_DROPPED, "{span}", "Spans that could not be handed on")


class Losses:
    """Of one exporter; `where` is what its spans go to, as it may be shown. For any thread.

    What is told of it in the log is told once, and not again for a minute: under too much load it may come and go.
    """

    def __init__(self, exporter: Literal["bus", "otlp", "console"], where: str) -> None:
        self._exporter = exporter
        self._where = where
        self._lock = threading.Lock()
        self._since_taken = 0
        self._is_told = False
        self._quiet_until = 0.0

    @property
    def since_taken(self) -> int:
        """How many spans were lost since the last that were taken."""
        return self._since_taken

    def lost(self, spans: int) -> None:
        """So many were dropped."""
        _DROPPED.add(spans, {EXPORTER: self._exporter})
        with self._lock:
            self._since_taken += spans
            tells = not self._is_told and time.monotonic() >= self._quiet_until
            if tells:
                self._is_told, self._quiet_until = True, time.monotonic() + _QUIET_S
        if tells:
            _log.warning("spans for %s are dropped: it is away, or there are too many", self._where)

    def taken(self) -> None:
        """What was handed on has arrived."""
        if not self._since_taken:
            return
        with self._lock:
            spans, self._since_taken = self._since_taken, 0
            tells, self._is_told = self._is_told, False
        if tells:
            _log.info("%s takes spans again; dropped until then: %d", self._where, spans)
