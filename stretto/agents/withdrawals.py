"""Withdrawals: stops the attempts at tasks of runs that are over."""

import asyncio
import contextlib
import logging
from collections.abc import Generator

from nats.aio.msg import Msg

from stretto.agents.attempt import Attempt
from stretto.agents.gate import Stop
from stretto.bus.connection import Connection
from stretto.bus.envelope import open_envelope
from stretto.bus.errors import BusError
from stretto.bus.run_log import RunLog
from stretto.bus.subjects import RunKey, Subjects
from stretto.bus.wire import Wire
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.withdrawal import Withdrawn

__all__ = ["Withdrawals"]

_log = logging.getLogger(__name__)


class Withdrawals:
    """Hears which runs are over, and looks by itself now and then: what is told may be missed.

    What is told is only a hint. The run's answer, in its log, decides.

    Args:
        look_s: attempts that take longer than this are looked after, each time that it has passed.
    """

    def __init__(self, *, connection: Connection, subjects: Subjects, wire: Wire, role: str, look_s: float) -> None:
        self._connection = connection
        self._subjects = subjects
        self._wire = wire
        self._role = role
        self._look_s = look_s
        self._log = RunLog(connection=connection, subjects=subjects, wire=wire)
        self._running: set[Attempt] = set()

    @contextlib.contextmanager
    def watch(self, attempt: Attempt) -> Generator[None]:
        """Stop the attempt if its run is over meanwhile."""
        self._running.add(attempt)
        try:
            yield
        finally:
            self._running.discard(attempt)

    async def run(self) -> None:
        """Listen and look until cancelled."""
        known: set[Attempt] = set()
        loop = asyncio.get_running_loop()
        async with self._connection.listen(self._subjects.withdraw(self._role)) as told:
            look_at = loop.time() + self._look_s
            while True:
                try:
                    async with asyncio.timeout_at(look_at):
                        concerned = await self._named(await told.get())
                except TimeoutError:
                    concerned, known = self._running & known, set(self._running)
                    look_at = loop.time() + self._look_s
                await self._look({attempt.key.run for attempt in concerned})

    async def _named(self, told: Msg) -> set[Attempt]:
        try:
            envelope = await self._wire.unpack(told.data, told.headers)
            open_envelope(envelope, Withdrawn)
        except BusError:  # junk counts for nothing
            return set()
        run = (envelope.tenant, envelope.run)
        return {attempt for attempt in self._running if (attempt.key.run.tenant, attempt.key.run.run) == run}

    async def _look(self, runs: set[RunKey]) -> None:
        for run in runs:
            try:
                over = await self._log.holds(run, self._subjects.answer(run), Answer)
            except BusError as error:
                _log.debug("whether run %s is over is not known now: %s", run.run, error)
                continue
            for attempt in [one for one in self._running if over and one.key.run == run]:
                attempt.stop(Stop.WITHDRAWN)
