"""Moments: times and spans as a person reads them."""

from datetime import datetime
from itertools import pairwise
from typing import Final

__all__ = ["ahead", "local", "since", "span"]

_FEW: Final = 10

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def span(seconds: float) -> str:
    """A span in its largest unit and, while that is a small number, the next one: `6 d 23 h`, `12 min`, `8 s`."""
    left_s = max(0, int(seconds))
    for (size_s, unit), (next_s, next_unit) in pairwise(_UNITS):
        if left_s >= size_s:
            whole, rest_s = divmod(left_s, size_s)
            rest = rest_s // next_s
            return f"{whole} {unit} {rest} {next_unit}" if rest and whole < _FEW else f"{whole} {unit}"
    return f"{left_s} s"


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
