"""RateLimits: keeps what all processes send to a provider within its requests and tokens per minute."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from opentelemetry import trace

from stretto.bus.conventions import RATE_LIMITED, RATE_LIMITED_S
from stretto.bus.errors import BusError
from stretto.bus.rate import RATE_WINDOW_S, Counted
from stretto.shared.models.errors import LimitReached
from stretto.shared.models.provider_settings import ProviderSettings

__all__ = ["Counters", "OwnCounters", "RateLimits"]

_LEAST_WAIT_S: Final = 0.05
_JITTER: Final = 0.2


class Counters(Protocol):
    """Adds up by provider, window and unit."""

    def now(self) -> datetime:
        """The time that windows go by."""
        ...

    async def count(self, name: str, window: int, by: Mapping[str, int]) -> Counted:
        """Add to the counters of a window, by unit.

        Raises:
            BusError: they cannot be reached now.
        """
        ...


class OwnCounters:
    """What this process alone has sent."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self._totals: dict[tuple[str, int, str], int] = {}

    async def count(self, name: str, window: int, by: Mapping[str, int]) -> Counted:
        """As `Counters.count`; it always can."""
        self._totals = {key: total for key, total in self._totals.items() if key[0] != name or key[1] >= window - 1}
        for unit, amount in by.items():
            self._totals[name, window, unit] = self._totals.get((name, window, unit), 0) + amount
        return Counted(
            at=self.now(),
            total={unit: self._totals[name, window, unit] for unit in by},
            before={unit: self._totals.get((name, window - 1, unit), 0) for unit in by},
        )


class RateLimits:
    """Implements `Rates`: counts a request before it is sent, and takes it back where it would be one too many.

    Time goes in windows of a minute by the server's clock. A request may be sent if what was counted in this window, and the share of the
    window before that lies less than a minute back (as if it had been spread evenly), keep the limit. So in any T seconds at most
    `limit * (1 + T / 60)` are sent, in a window at most the limit: what a provider lets through whose bucket is refilled evenly.

    Who is over waits, with jitter, as long as that fits into the time it has. The waiting of one process stand in line. What asks for more
    tokens than a minute has counts as a minute's.

    While the bus is away, each process keeps the limits by what it sent itself: work in flight goes on, and several processes may together
    be over; the provider's own refusals (429, with retry-after) hold then as always.

    Args:
        providers: by name; those without limits are not counted at all.
        shared: the counters of all processes; own: of this one.
        sleep, clock, spread: how to wait, seconds that never go back, and numbers from 0 to 1.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, ProviderSettings],
        shared: Counters,
        own: Counters | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._limits = {name: limits for name, one in providers.items() if (limits := _limits(one))}
        self._shared = shared
        self._own = own or OwnCounters()
        self._sleep = sleep
        self._clock = clock
        self._spread = spread
        self._lines = {name: asyncio.Lock() for name in self._limits}

    async def acquire(self, provider: str, *, tokens: int, limit_s: float) -> None:
        """As `Rates.acquire`. Cancelled, the request may stay counted."""
        limits = self._limits.get(provider)
        if limits is None:
            return
        line = self._lines[provider]
        began = self._clock()
        give_up_at = began + limit_s
        waited = line.locked()
        wanted = {"requests": 1, "tokens": max(0, tokens)}
        by = {unit: min(wanted[unit], limit) for unit, limit in limits.items()}
        try:
            async with asyncio.timeout(limit_s if waited else None):
                await line.acquire()
        except TimeoutError:
            raise _limited(provider, limits, RATE_WINDOW_S) from None
        try:
            while wait_s := await self._try(provider, limits, by):
                wait_s *= 1 + _JITTER * self._spread()
                if self._clock() + wait_s > give_up_at:
                    raise _limited(provider, limits, wait_s)
                waited = True
                await self._sleep(wait_s)
        finally:
            line.release()
        if waited:
            trace.get_current_span().add_event(RATE_LIMITED, {RATE_LIMITED_S: self._clock() - began})

    async def _try(self, provider: str, limits: Mapping[str, int], by: Mapping[str, int]) -> float:
        """Count a request; return 0, or for how many seconds there is no room: then it is not counted."""
        try:
            wait_s, window = await _count(self._shared, provider, limits, by)
        except BusError:
            wait_s, _ = await _count(self._own, provider, limits, by)
        else:
            if not wait_s:
                await self._own.count(provider, window, by)
        return wait_s


async def _count(
    counters: Counters, provider: str, limits: Mapping[str, int], by: Mapping[str, int]
) -> tuple[float, int]:
    back = {unit: -amount for unit, amount in by.items()}
    while True:
        window = _window(counters.now())
        counted = await counters.count(provider, window, by)
        wait_s = max(_wait_s(counted, unit, limit, by[unit]) for unit, limit in limits.items())
        is_now = _window(counted.at) == window  # what the server told last may have been another window's time
        if is_now and not wait_s:
            return 0.0, window
        await counters.count(provider, window, back)
        if is_now:
            return max(wait_s, _LEAST_WAIT_S), window


def _wait_s(counted: Counted, unit: str, limit: int, wanted: int) -> float:
    """Seconds until there is room, as things stand; `wanted` is in the total already."""
    passed = counted.at.timestamp() % RATE_WINDOW_S / RATE_WINDOW_S
    total, before = counted.total[unit], max(0, counted.before[unit])
    if total + before * (1 - passed) <= limit:
        return 0.0
    if total <= limit:  # in this window, when enough of the one before lies back far enough
        return (1 - (limit - total) / before - passed) * RATE_WINDOW_S
    others = total - wanted
    return (1 - passed + max(0.0, 1 - (limit - wanted) / others)) * RATE_WINDOW_S


def _window(at: datetime) -> int:
    return int(at.timestamp() // RATE_WINDOW_S)


def _limits(settings: ProviderSettings) -> dict[str, int]:
    given = {"requests": settings.requests_per_minute, "tokens": settings.tokens_per_minute}
    return {unit: limit for unit, limit in given.items() if limit is not None}


def _limited(provider: str, limits: Mapping[str, int], wait_s: float) -> LimitReached:
    shown = " and ".join(f"{limit} {unit}" for unit, limit in limits.items())
    return LimitReached(
        f"{provider} gets no more than {shown} per minute from us (settings): there is room in {wait_s:.0f} s",
        retry_after_s=wait_s,
    )
