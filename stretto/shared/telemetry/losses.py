"""Losses: spans that could not be handed on: counted, and told once."""

import logging
import threading
from typing import Final, Literal

from opentelemetry import metrics

from stretto import __version__
from stretto.bus.conventions import EXPORTER, SPANS_DROPPED

__all__ = ["Losses"]

_log = logging.getLogger(__name__)
_METER: Final = metrics.get_meter("stretto", __version__)
_DROPPED: Final = _METER.create_counter(SPANS_DROPPED, "{span}", "Spans that could not be handed on")


class Losses:
    """Of one exporter; `where` is what its spans go to, as it may be shown. For any thread."""

    def __init__(self, exporter: Literal["bus", "otlp", "console"], where: str) -> None:
        self._exporter = exporter
        self._where = where
        self._lock = threading.Lock()
        self._since_taken = 0

    @property
    def since_taken(self) -> int:
        """How many spans were lost since the last that were taken."""
        return self._since_taken

    def lost(self, spans: int) -> None:
        """So many were dropped."""
        _DROPPED.add(spans, {EXPORTER: self._exporter})
        with self._lock:
            first, self._since_taken = not self._since_taken, self._since_taken + spans
        if first and spans:
            _log.warning("spans are dropped: %s does not take them", self._where)

    def taken(self) -> None:
        """What was handed on has arrived."""
        if self._since_taken:
            with self._lock:
                spans, self._since_taken = self._since_taken, 0
            _log.info("%s takes spans again; dropped until then: %d", self._where, spans)
