"""Capture: whether spans may hold what was asked and answered. By default they may not."""

import contextlib
import logging
import os
from collections.abc import Generator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Final

from stretto.shared.settings import SettingsError

__all__ = ["CAPTURE_VARIABLE", "Capture", "capture", "capture_of", "capturing"]

CAPTURE_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Capture:
    """Where content may stand: in the attributes of spans, in their events, or nowhere."""

    spans: bool = False
    events: bool = False

    def __bool__(self) -> bool:
        return self.spans or self.events


_MODES: Final = {
    "": Capture(),
    "no_content": Capture(),
    "false": Capture(),
    "span_only": Capture(spans=True),
    "true": Capture(spans=True),
    "event_only": Capture(events=True),
    "span_and_event": Capture(spans=True, events=True),
}

_CHOSEN: ContextVar[Capture | None] = ContextVar("capture", default=None)


def capture() -> Capture:
    """What holds here: what `capturing` says, or else the environment, as it was when it was first looked at."""
    chosen = _CHOSEN.get()
    return _by_environment() if chosen is None else chosen


def capture_of(environment: Mapping[str, str]) -> Capture:
    """What the variable asks for.

    Raises:
        SettingsError: it asks for what there is not.
    """
    asked = environment.get(CAPTURE_VARIABLE, "").strip()
    found = _MODES.get(asked.lower())
    if found is None:
        known = "NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT"
        raise SettingsError(f"{CAPTURE_VARIABLE} is {asked[:80]!r}: use {known}")
    return found


@contextlib.contextmanager
def capturing(chosen: Capture) -> Generator[None]:
    """Within the block, and in tasks that it starts, this holds, whatever the environment says."""
    before = _CHOSEN.set(chosen)
    try:
        yield
    finally:
        _CHOSEN.reset(before)


@cache
def _by_environment() -> Capture:
    try:
        return capture_of(os.environ)
    except SettingsError as error:  # a process of ours says so when it starts; this one is another application's
        _log.warning("no content is captured: %s", error)
        return Capture()
