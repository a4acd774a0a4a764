"""Lookout: keeps the leases of a shard's open runs, and looks at those to which something may have come that is no message."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from stretto.bus.errors import BusError
from stretto.bus.failpoints import reach
from stretto.bus.registry import Registry
from stretto.bus.subjects import RunKey
from stretto.supervisor.backlog import Backlog
from stretto.supervisor.conductor import Conductor
from stretto.supervisor.decide import Orders
from stretto.supervisor.leases import Leases
from stretto.supervisor.open_runs import OpenRun, OpenRuns

__all__ = ["Lookout"]

_log = logging.getLogger(__name__)
_LOOKS_AT_ONCE: Final = 16
_FILL_S: Final = 1.0


class Lookout:
    """Looks at runs that take longer than one renewal, that wait for a role, whose role is gone, or whose tasks found no room.

    Args:
        renew_s: leases are renewed this often.
        is_ours: whether the shard is this process's now; if not, its runs are given back.
        pinned: whether each shard goes to one supervisor at a time. If not, others may have changed any run.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        runs: OpenRuns,
        backlog: Backlog,
        conductor: Conductor,
        registry: Registry,
        renew_s: float,
        is_ours: Callable[[], bool],
        pinned: bool,
    ) -> None:
        self._leases = leases
        self._runs = runs
        self._backlog = backlog
        self._conductor = conductor
        self._registry = registry
        self._renew_s = renew_s
        self._is_ours = is_ours
        self._pinned = pinned
        self._roles: frozenset[str] = frozenset()
        self._look = asyncio.Event()

    async def run(self) -> None:
        """Renew and look until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (self._renew(), self._look_again(), self._fill_queues()):
                group.create_task(work)

    def republish(self) -> None:
        """Have what is due in every open run queued again."""
        self._runs.doubt_queues()
        self._leases.watch_all()
        self._look.set()

    async def let_go(self, run: OpenRun, orders: Orders) -> None:
        """Acknowledge the lease of a run that is over, or that waits for people and the clock alone: its timers stand for it now."""
        if run.state is None or not (run.state.is_over or orders.parked):
            return
        if orders.parked:
            reach("supervisor.before_park")
        self._backlog.note(run.key)
        run.state = None
        await self._leases.release(run.key)

    async def _renew(self) -> None:
        """Keep the leases, for as long as the shard is ours."""
        while True:
            await asyncio.sleep(self._renew_s)
            try:
                if self._is_ours():
                    await self._leases.renew()
                else:
                    await self.give_back()
            except BusError as error:
                _log.debug("leases are not renewed: %s", error)
            if not self._pinned:
                self._runs.distrust()
            if not self._pinned or self._roles - self._registry.roles():
                self._leases.watch_all()
            self._roles = self._registry.roles()
            self._look.set()

    async def _look_again(self) -> None:
        """Look at the runs that are watched: some side by side, since each may have to be folded."""
        while True:
            await self._look.wait()
            self._look.clear()
            keys = self._leases.watched()
            for first in range(0, len(keys), _LOOKS_AT_ONCE):
                await asyncio.gather(*(self._look_at(key) for key in keys[first : first + _LOOKS_AT_ONCE]))

    async def _fill_queues(self) -> None:
        """Publish what found no room before."""
        while True:
            await asyncio.sleep(_FILL_S)
            for role in list(self._backlog.roles):
                last: RunKey | None = None
                while (key := self._backlog.first(role)) is not None and key != last:
                    await self._look_at(key)
                    last = key

    async def _look_at(self, key: RunKey) -> None:
        """See what follows for a run now. It takes longer than most, so all its timers are set."""
        try:
            async with self._runs.use(key) as run:
                lease = self._leases.of(key)
                if lease is None:
                    self._backlog.note(key)
                    return
                state = run.state or await self._conductor.fold(run, from_seq=lease.origin_seq)
                orders = await self._conductor.advance(run, state, all_timers=True)
                lease.origin_seq, lease.watched = state.origin_seq, bool(orders.waiting)
                await self.let_go(run, orders)
        except BusError as error:  # away: it stays watched
            _log.debug("run %s: %s; it is looked at again", key.run, error)
        except Exception:  # noqa: BLE001 (the edge of a run: one that cannot be decided must not end all others)
            _log.exception("run %s cannot be looked at", key.run)

    async def give_back(self) -> None:
        """Let go of all open runs: they are another supervisor's."""
        self._backlog.clear()
        await self._leases.give_back()
