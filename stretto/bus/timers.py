"""Timers: the server's own scheduler writes into a run's log when a time has come (ADR-51)."""

from datetime import UTC, datetime, timedelta

from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope
from stretto.bus.errors import Conflict
from stretto.bus.hops import Sending
from stretto.bus.subjects import RunKey, Subjects
from stretto.bus.wire import Wire

__all__ = ["Timers"]

_TARGET = "Nats-Schedule-Target"


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
        subject, target = self._subjects.schedule(key, name), self._subjects.timer(key, name)
        when = {"Nats-Schedule": f"@at {whole.replace('+00:00', 'Z')}", _TARGET: target}
        packed, after = await self._wire.pack(envelope), 0
        template = self._subjects.run_template("schedule")
        while True:
            try:
                with Sending(template, tenant=key.tenant, run=key.run, message_id=envelope.id) as sending:
                    headers = {**when, **sending.headers}
                    await self._connection.jetstream.store(subject, packed, expect=after, headers=headers)
            except Conflict:
                there = await self._connection.jetstream.last(self._subjects.runs_stream(key.shard), subject)
                if there is None or there.headers.get(_TARGET) == target:
                    return  # it is set, or has fired just now
                after = there.seq  # junk: the server takes the last message on the subject for the timer
            else:
                return
