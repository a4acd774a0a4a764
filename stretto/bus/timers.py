"""Timers: the server's own scheduler writes into a run's log when a time has come (ADR-51)."""

import contextlib
from datetime import UTC, datetime, timedelta

from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope
from stretto.bus.errors import Conflict
from stretto.bus.subjects import RunKey, Subjects
from stretto.bus.wire import Wire

__all__ = ["Timers"]


class Timers:
    """Sets timers of runs. They outlive every process, the server included."""

    def __init__(self, *, connection: Connection, subjects: Subjects, wire: Wire) -> None:
        self._connection = connection
        self._subjects = subjects
        self._wire = wire

    async def arm(self, key: RunKey, name: str, at: datetime, envelope: Envelope) -> None:
        """Have `envelope` appear as the run's timer `name` at `at`, by the server's clock. Set once: a second call changes nothing."""
        # Up to the next whole millisecond: a timer that fires before its time would find that nothing is due yet.
        whole = (at.astimezone(UTC) + timedelta(microseconds=999)).isoformat(timespec="milliseconds")
        headers = {
            "Nats-Schedule": f"@at {whole.replace('+00:00', 'Z')}",
            "Nats-Schedule-Target": self._subjects.timer(key, name),
        }
        with contextlib.suppress(Conflict):
            await self._connection.jetstream.store(
                self._subjects.schedule(key, name), await self._wire.pack(envelope), expect=0, headers=headers
            )
