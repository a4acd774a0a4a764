"""Place: where in its document a passage stands, as people write it: `Refunds > Timing, line 12`."""

import re
from collections.abc import Sequence

__all__ = ["heading_of", "place_of"]

_SPOT = re.compile(r"(?:^|, )(?:line|page|paragraph) \d+$")


def place_of(headings: Sequence[str], spot: str) -> str:
    """The heading path and the spot (`line 12`, `page 3`, `paragraph 4`) in one line."""
    path = " > ".join(headings)
    return f"{path}, {spot}" if path and spot else path or spot


def heading_of(place: str) -> str:
    """The heading path of a place, without the spot."""
    return _SPOT.sub("", place)
