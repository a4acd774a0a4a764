"""Open runs: what one supervisor remembers of the runs of one shard that are not over. A cache: the log is the truth."""

import asyncio
from collections.abc import Iterator
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
        lease: the request's delivery. It stays unacknowledged until the run is over, so that whatever is left half-done is found again.
        published: attempts that this process has queued; armed: timers that it has set.
        users: messages of the run that are in hand; lock: they are handled one at a time.
    """

    key: RunKey
    state: RunState | None = None
    now: datetime | None = None
    lease: Delivery | None = None
    published: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    armed: set[str] = field(default_factory=set[str])
    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class OpenRuns:
    """The runs of one shard, trusted for as long as this process gets every delivery of the shard."""

    def __init__(self) -> None:
        self._runs: dict[RunKey, OpenRun] = {}
        self._last_delivery = 0

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[OpenRun]:
        return iter(list(self._runs.values()))

    def __contains__(self, key: RunKey) -> bool:
        return key in self._runs

    def note(self, delivery: Delivery) -> None:
        """Look for a gap before this delivery: somebody else got a message, so every state may be old."""
        if delivery.delivery != self._last_delivery + 1:
            self.distrust()
        self._last_delivery = delivery.delivery

    def distrust(self) -> None:
        """Have every run folded again before it is next used."""
        for run in self._runs.values():
            run.state = None

    def open(self, key: RunKey) -> OpenRun:
        """The run, remembered from now on."""
        return self._runs.setdefault(key, OpenRun(key))

    def close(self, run: OpenRun) -> None:
        """Forget a run that is over, or that is somebody else's now."""
        self._runs.pop(run.key, None)
