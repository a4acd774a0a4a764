"""Open runs: what one supervisor remembers of a shard's runs that it handled lately. A cache: the log is the truth."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import datetime

from stretto.bus.delivery import Delivery
from stretto.bus.subjects import RunKey
from stretto.supervisor.state import RunState

__all__ = ["OpenRun", "OpenRuns"]


@dataclass(slots=True)
class OpenRun:
    """One run.

    Attributes:
        state: the fold of its log; None when it has to be folded (again).
        now: the server's time, as the run's latest fact tells it.
        published: attempts that this process has queued, and how often they had gone on by then; armed: timers that it has set.
        crowded: too many other runs were open when its request came.
        users: how many want to work on it; lock: they do so one at a time.
        gaps: how many gaps there had been in the shard's deliveries when `state` was last found to be good.
    """

    key: RunKey
    state: RunState | None = None
    now: datetime | None = None
    published: set[tuple[str, int, int]] = field(default_factory=set[tuple[str, int, int]])
    armed: set[str] = field(default_factory=set[str])
    crowded: bool = False
    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    gaps: int = 0


class OpenRuns:
    """The states of one shard's runs, the last `keep` that were used.

    They are trusted for as long as this process gets every delivery of the shard.
    """

    def __init__(self, *, keep: int) -> None:
        self._keep = keep
        self._runs: dict[RunKey, OpenRun] = {}
        self._last_delivery = 0
        self._gaps = 0

    def __len__(self) -> int:
        return len(self._runs)

    def note(self, delivery: Delivery) -> None:
        """Look for a gap before this delivery: somebody else got a message, so every state may be old."""
        if delivery.delivery != self._last_delivery + 1:
            self.distrust()
        self._last_delivery = delivery.delivery

    def distrust(self) -> None:
        """Have every run folded again before it is next used."""
        self._gaps += 1

    def doubt_queues(self) -> None:
        """Have all that is due published again."""
        for run in self._runs.values():
            run.published.clear()

    @contextlib.asynccontextmanager
    async def use(self, key: RunKey) -> AsyncGenerator[OpenRun]:
        """The run, to work on alone. If it has no state afterwards it is forgotten."""
        run = self._runs.pop(key, None) or OpenRun(key)
        self._runs[key] = run  # the last one in the order is the one used last
        run.users += 1
        try:
            async with run.lock:
                if run.gaps != self._gaps:
                    run.state, run.gaps = None, self._gaps
                yield run
        finally:
            run.users -= 1
            if run.state is None and not run.users:
                del self._runs[key]
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        if len(self._runs) > self._keep:
            idle = next((run for run in self._runs.values() if not run.users), None)
            if idle is not None:
                del self._runs[idle.key]
