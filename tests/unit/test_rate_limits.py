"""RateLimits: no more than the limit goes out, whoever else sends; time is a fake that is moved on when everybody waits."""

import asyncio
import heapq
import random
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stretto.bus import tracing
from stretto.bus.errors import Unreachable
from stretto.bus.rate import Counted
from stretto.shared.models.errors import LimitReached
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.rate_limits import OwnCounters, RateLimits
from tests.spans import recording

START_S = 1_800_000_000.0


class FakeTime:
    """Stands still until everybody sleeps."""

    def __init__(self, at_s: float = START_S) -> None:
        self.at_s = at_s
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.at_s

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at_s, UTC)

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.at_s + seconds, len(self._sleepers), woken))
        await woken

    async def run(self, *work: asyncio.Task[None]) -> None:
        """Move on from sleeper to sleeper until the work is done."""
        while not all(task.done() for task in work):
            for _ in range(20):  # everybody goes on until they sleep
                await asyncio.sleep(0)
            if self._sleepers:
                self.at_s, _, woken = heapq.heappop(self._sleepers)
                woken.set_result(None)
        for task in work:
            task.result()


class Gone:
    """The counters of a bus that is away."""

    def __init__(self, time: FakeTime) -> None:
        self.now = time.now

    async def count(self, name: str, window: int, by: Mapping[str, int]) -> Counted:
        raise Unreachable("away")


def limits_of(time: FakeTime, shared: OwnCounters | Gone, *, seed: int = 0, **limits: int) -> RateLimits:
    return RateLimits(
        providers={"acme": ProviderSettings(**limits), "free": ProviderSettings()},
        shared=shared,
        own=OwnCounters(time.now),
        sleep=time.sleep,
        clock=time.clock,
        spread=random.Random(seed).random,  # noqa: S311 (no secret)
    )


def busiest(sent: list[tuple[float, int]], span_s: float) -> int:
    """The most that went out in any such span."""
    return max(sum(n for other_s, n in sent if at_s <= other_s < at_s + span_s) for at_s, _ in sent)


@settings(max_examples=30, deadline=None)
@given(
    limit=st.integers(1, 12),
    tokens=st.lists(st.integers(0, 150), min_size=1, max_size=12),
    offset_s=st.floats(0, 60),
    seed=st.integers(0, 99),
)
async def test_three_processes_together_stay_within_both_limits(
    limit: int, tokens: list[int], offset_s: float, seed: int
) -> None:
    time = FakeTime(START_S + offset_s)
    shared = OwnCounters(time.now)
    sent: list[tuple[float, int]] = []

    async def process(number: int) -> None:
        limits = limits_of(time, shared, seed=seed + number, requests_per_minute=limit, tokens_per_minute=100)

        async def one(took: int) -> None:
            await limits.acquire("acme", tokens=took, limit_s=100_000)
            sent.append((time.at_s, min(took, 100)))

        async with asyncio.TaskGroup() as group:
            for took in tokens:
                group.create_task(one(took))

    await time.run(*(asyncio.create_task(process(number)) for number in range(3)))
    assert len(sent) == 3 * len(tokens)
    windows = {int(at_s // 60) for at_s, _ in sent}
    for window in windows:
        inside = [took for at_s, took in sent if int(at_s // 60) == window]
        assert len(inside) <= limit
        assert sum(inside) <= 100
    for span_s in (1, 30, 60, 90, 200):
        grace = 1 + span_s / 60
        assert busiest([(at_s, 1) for at_s, _ in sent], span_s) <= limit * grace + 1e-6
        assert busiest(sent, span_s) <= 100 * grace + 1e-6


async def test_who_is_over_goes_on_as_soon_as_there_is_room() -> None:
    time = FakeTime()
    limits = limits_of(time, OwnCounters(time.now), requests_per_minute=60)

    async def all_of_them() -> None:
        for _ in range(180):
            await limits.acquire("acme", tokens=0, limit_s=1_000)

    await time.run(asyncio.create_task(all_of_them()))
    # Sixty at once; sixty more in the next minute, as the first ones fall out of it; and so on.
    assert 100 <= time.at_s - START_S <= 190


async def test_who_cannot_wait_so_long_is_told_when_there_will_be_room() -> None:
    time = FakeTime()
    limits = limits_of(time, OwnCounters(time.now), requests_per_minute=2)
    for _ in range(2):
        await limits.acquire("acme", tokens=0, limit_s=0)
    with pytest.raises(LimitReached) as refused:
        await limits.acquire("acme", tokens=0, limit_s=30)
    # Both were sent at the start of the minute, so there is room for one in the middle of the next; and jitter.
    assert refused.value.retry_after_s == pytest.approx(90, rel=0.2)
    assert "2 requests per minute" in str(refused.value)
    assert time.at_s == START_S, "it waited for nothing"


async def test_a_request_that_is_refused_takes_no_room() -> None:
    time = FakeTime()
    limits = limits_of(time, OwnCounters(time.now), requests_per_minute=9, tokens_per_minute=100)
    await limits.acquire("acme", tokens=60, limit_s=0)
    with pytest.raises(LimitReached):
        await limits.acquire("acme", tokens=60, limit_s=0)
    await limits.acquire("acme", tokens=40, limit_s=0)


async def test_more_tokens_than_a_minute_has_are_sent_when_the_minute_is_empty() -> None:
    time = FakeTime()
    limits = limits_of(time, OwnCounters(time.now), tokens_per_minute=100)
    await limits.acquire("acme", tokens=5_000, limit_s=0)
    with pytest.raises(LimitReached):
        await limits.acquire("acme", tokens=1, limit_s=0)


async def test_while_the_bus_is_away_a_process_keeps_the_limits_by_itself() -> None:
    time = FakeTime()
    limits = limits_of(time, Gone(time), requests_per_minute=2)
    for _ in range(2):
        await limits.acquire("acme", tokens=0, limit_s=0)
    with pytest.raises(LimitReached):
        await limits.acquire("acme", tokens=0, limit_s=0)


async def test_what_went_out_before_the_bus_went_away_still_counts() -> None:
    time = FakeTime()

    class GoesAway(OwnCounters):
        away = False

        async def count(self, name: str, window: int, by: Mapping[str, int]) -> Counted:
            if self.away:
                raise Unreachable("away")
            return await super().count(name, window, by)

    shared = GoesAway(time.now)
    limits = limits_of(time, shared, requests_per_minute=1)
    await limits.acquire("acme", tokens=0, limit_s=0)
    shared.away = True
    with pytest.raises(LimitReached):
        await limits.acquire("acme", tokens=0, limit_s=0)


async def test_a_provider_without_limits_is_not_counted() -> None:
    time = FakeTime()
    await limits_of(time, Gone(time), requests_per_minute=1).acquire("free", tokens=10**9, limit_s=0)
    await limits_of(time, Gone(time), requests_per_minute=1).acquire("unheard-of", tokens=10**9, limit_s=0)


async def test_a_wait_is_told_by_whoever_waited_and_no_wait_is_not() -> None:
    time = FakeTime()
    limits = limits_of(time, OwnCounters(time.now), requests_per_minute=1)

    async def ask(name: str) -> None:
        with tracing.span(name):
            await limits.acquire("acme", tokens=0, limit_s=1_000)

    with recording() as recorded:
        await ask("first")
        await time.run(asyncio.create_task(ask("second")))
    assert recorded.one("first").events == ()
    (event,) = recorded.one("second").events
    assert event.name == "rate_limited"
    assert dict(event.attributes or {}) == {"stretto.rate_limited_s": time.at_s - START_S}
    assert time.at_s - START_S > 30
