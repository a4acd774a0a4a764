"""Backoff: how long to wait before something that failed is tried again."""

import random
from collections.abc import Callable
from typing import Final

__all__ = ["Backoff"]

_FIRST_S: Final = 0.25
_LONGEST_S: Final = 30.0
_HEALTHY_S: Final = 30.0


class Backoff:
    """Doubles with every failure, up to half a minute, and begins anew after half a minute without one.

    The jitter (half to all of the time, https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) keeps parts that
    failed together from coming back together.
    """

    def __init__(self, *, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._failures = 0

    def after(self, lived_s: float) -> float:
        """Seconds to wait after a failure that came `lived_s` seconds after the start."""
        self._failures = 0 if lived_s >= _HEALTHY_S else self._failures
        limit_s: float = min(_LONGEST_S, _FIRST_S * 2**self._failures)
        self._failures += 1
        return limit_s / 2 + limit_s / 2 * self._jitter()
