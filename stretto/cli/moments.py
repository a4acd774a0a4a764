"""Moments: times and spans as a person reads them."""

from datetime import datetime
from typing import Final

__all__ = ["ahead", "local", "since", "span"]

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def span(seconds: float) -> str:
    """A span in its largest whole unit: `6 d`, `3 h`, `12 min`, `8 s`."""
    for size_s, unit in _UNITS:
        if seconds >= size_s:
            return f"{int(seconds // size_s)} {unit}"
    return f"{max(0, int(seconds))} s"


def since(at: datetime, now: datetime) -> str:
    """How long ago that was."""
    return f"{span((now - at).total_seconds())} ago"


def ahead(at: datetime, now: datetime) -> str:
    """How long it is until then."""
    left_s = (at - now).total_seconds()
    return f"in {span(left_s)}" if left_s > 0 else "now"


def local(at: datetime) -> str:
    """The time where this program runs."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
