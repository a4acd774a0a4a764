"""RateCounters: counts what all processes of a deployment send within windows of time. The server does the adding."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from stretto.bus.connection import Connection
from stretto.bus.server_clock import ServerClock
from stretto.bus.subjects import Subjects

__all__ = ["RATE_WINDOW_S", "Counted", "RateCounters"]

RATE_WINDOW_S: Final = 60.0
_PATIENCE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Counted:
    """Counters as they stand once one's own was added.

    Attributes:
        at: the server's time of that, or of what was added since.
        total: by unit, of the window; before: of the window before it.
    """

    at: datetime
    total: Mapping[str, int]
    before: Mapping[str, int]


class RateCounters:
    """Counters in the stream RATES, which forgets them when their windows are over (ADR-49).

    Args:
        patience_s: how long to wait for the server.
    """

    def __init__(self, *, connection: Connection, subjects: Subjects, patience_s: float = _PATIENCE_S) -> None:
        self._connection = connection
        self._subjects = subjects
        self._patience_s = patience_s
        self._clock = ServerClock()
        self._before: dict[str, _Before] = {}

    def now(self) -> datetime:
        """The server's time, as far as its counters told it."""
        return self._clock.now()

    async def count(self, name: str, window: int, by: Mapping[str, int]) -> Counted:
        """Add to the counters of a window, by unit; each is added as a whole, whoever else adds.

        Raises:
            BusError: the server does not answer. Some may have been added.
        """
        jetstream = self._connection.jetstream
        added = await asyncio.gather(
            *(
                jetstream.count(self._subjects.rate(name, unit, window), amount, timeout_s=self._patience_s)
                for unit, amount in by.items()
            )
        )
        known = self._before.get(name)
        if known is None or known.window != window or not known.total.keys() >= by.keys():
            known = await self._window_before(name, window, by)
        return Counted(at=self._clock.now(), total=dict(zip(by, added, strict=True)), before=known.total)

    async def _window_before(self, name: str, window: int, units: Iterable[str]) -> "_Before":
        """What was counted in the window before. It is remembered once nothing can be on its way there any more."""
        here = {unit: self._subjects.rate(name, unit, window) for unit in units}
        before = {unit: self._subjects.rate(name, unit, window - 1) for unit in units}
        stream, asked = self._subjects.stream("RATES"), [*here.values(), *before.values()]
        last = await self._connection.jetstream.last_of(stream, asked, timeout_s=self._patience_s)
        found = {one.subject: one for one in last}
        told = [found[subject].at for subject in here.values() if subject in found]
        for at in told:
            self._clock.note(at)
        known = _Before(
            window,
            {
                unit: int(json.loads(found[subject].data)["val"]) if subject in found else 0
                for unit, subject in before.items()
            },
        )
        if told and max(told).timestamp() % RATE_WINDOW_S > self._patience_s:
            self._before[name] = known
        return known


class _Before(NamedTuple):
    window: int
    total: Mapping[str, int]
