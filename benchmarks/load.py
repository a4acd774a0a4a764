"""Load: one kind of work done many times, one after another and many at a time, and what that took."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

__all__ = ["Load", "Taken", "put_on"]

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Load:
    """How often to work.

    Attributes:
        in_turn: times one after another, for the latency.
        at_once: times in all by how many are in flight, for the throughput.
    """

    in_turn: int
    at_once: dict[int, int]

    @property
    def times(self) -> int:
        return self.in_turn + sum(self.at_once.values())


@dataclass(frozen=True, slots=True)
class Taken:
    """What a load took: the median latency, and throughput by how many were in flight."""

    p50_ms: float
    per_s: dict[int, float]


async def put_on(work: Work, load: Load) -> Taken:
    """Put the load on."""
    latencies_ms: list[float] = []
    for _ in range(load.in_turn):
        began = time.perf_counter()
        await work()
        latencies_ms.append((time.perf_counter() - began) * 1_000)
    per_s = {in_flight: await _throughput(work, in_flight, times) for in_flight, times in load.at_once.items()}
    return Taken(statistics.median(latencies_ms), per_s)


async def _throughput(work: Work, in_flight: int, times: int) -> float:
    left = iter(range(times))

    async def keep_on() -> None:
        for _ in left:
            await work()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(keep_on())
    return times / (time.perf_counter() - began)
