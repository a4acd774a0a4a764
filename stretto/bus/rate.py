"""RateCounters: counts what all processes of a deployment send within windows of time. The server does the adding."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stretto.bus.connection import Connection
from stretto.bus.server_clock import ServerClock
from stretto.bus.subjects import Subjects

__all__ = ["Counted", "RateCounters"]

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

    def now(self) -> datetime:
        """The server's time, as far as its counters told it."""
        return self._clock.now()

    async def count(self, name: str, window: int, by: Mapping[str, int]) -> Counted:
        """Add to the counters of a window, by unit; each is added as a whole, whoever else adds.

        Raises:
            BusError: the server does not answer. Some may have been added.
        """
        jetstream = self._connection.jetstream
        here = {unit: self._subjects.rate(name, unit, window) for unit in by}
        before = {unit: self._subjects.rate(name, unit, window - 1) for unit in by}
        total = {
            unit: await jetstream.count(here[unit], amount, timeout_s=self._patience_s) for unit, amount in by.items()
        }
        stream = self._subjects.stream("RATES")
        asked = [*here.values(), *before.values()]
        found = {one.subject: one for one in await jetstream.last_of(stream, asked, timeout_s=self._patience_s)}
        for subject in here.values():
            if subject in found:
                self._clock.note(found[subject].at)
        return Counted(
            at=self._clock.now(),
            total=total,
            before={
                unit: int(json.loads(found[subject].data)["val"]) if subject in found else 0
                for unit, subject in before.items()
            },
        )
