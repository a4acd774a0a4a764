"""Shard: takes in what happens to the runs of one shard. Commit, publish, acknowledge: in that order."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from stretto.bus.connection import Connection
from stretto.bus.consume import Consumer, ConsumerOptions
from stretto.bus.dead_letters import DeadLetters
from stretto.bus.delivery import Ack, Delivery, Disposition, Hold, Nak
from stretto.bus.errors import DecodeError, RetryLater, StreamMissing
from stretto.bus.failpoints import reach
from stretto.bus.hops import Handling, from_stream, tell_failure
from stretto.bus.registry import Registry
from stretto.bus.server_clock import ServerClock
from stretto.bus.streams import SUPERVISORS, Deployment
from stretto.bus.subjects import RunSubject
from stretto.bus.wire import Wire
from stretto.bus.work import Work, working_on
from stretto.supervisor.backlog import Backlog
from stretto.supervisor.choose import Chooser
from stretto.supervisor.conductor import Conductor
from stretto.supervisor.decide import Limits
from stretto.supervisor.dispatcher import Dispatcher
from stretto.supervisor.facts import Fact, RequestAccepted, TimerFired
from stretto.supervisor.leases import Leases
from stretto.supervisor.lookout import Lookout
from stretto.supervisor.open_runs import OpenRun, OpenRuns
from stretto.supervisor.reading import FactReader
from stretto.supervisor.spans import tell_waits
from stretto.supervisor.state import RunState, evolve

__all__ = ["KEPT_STATES", "Shard"]

_log = logging.getLogger(__name__)
_SLOTS: Final = 256
_COME_BACK_S: Final = 1.0
KEPT_STATES: Final = 500
"""States that a shard keeps in memory. Runs beyond them are folded when something happens to them: one read."""


class Shard:
    """One shard, as long as this process is the one that the server delivers it to.

    Being that one is for speed only. What makes two of them harmless is that decisions are compare-and-swap, answers write-once, and
    everything else derived.
    """

    def __init__(
        self,
        *,
        number: int,
        connection: Connection,
        deployment: Deployment,
        wire: Wire,
        registry: Registry,
        chooser: Chooser,
        dispatcher: Dispatcher,
        limits: Limits,
        instance: str,
        kept_states: int = KEPT_STATES,
    ) -> None:
        self._deployment = deployment
        self._subjects = deployment.subjects
        self._leases = Leases()
        self._runs = OpenRuns(keep=kept_states)
        self._clock = ServerClock()
        backlog, renew_s = Backlog(), deployment.run_lease_s / 3
        self._reader = FactReader(subjects=self._subjects, wire=wire)
        self._dead = DeadLetters(connection=connection, subjects=self._subjects, wire=wire, sender=instance)
        self._conductor = Conductor(
            connection=connection,
            deployment=deployment,
            wire=wire,
            registry=registry,
            chooser=chooser,
            dispatcher=dispatcher,
            limits=limits,
            instance=instance,
            clock=self._clock,
            backlog=backlog,
            # Runs that are over before their first renewal never pay for a timer.
            soon=timedelta(seconds=2 * renew_s),
        )
        self._lookout = Lookout(
            leases=self._leases,
            runs=self._runs,
            backlog=backlog,
            conductor=self._conductor,
            registry=registry,
            renew_s=renew_s,
            is_ours=lambda: self.is_ours,
            pinned=deployment.pinned,
        )
        self._consumer = Consumer(
            connection=connection,
            options=ConsumerOptions(
                stream=self._subjects.runs_stream(number),
                consumer=SUPERVISORS,
                slots=_SLOTS,
                group=SUPERVISORS if deployment.pinned else None,
                # The pin is kept by pulling: a pull must end before the pin does.
                expires_s=deployment.pin_s * 2 / 3,
                heartbeat_s=deployment.pin_s / 3,
            ),
        )

    @property
    def is_ours(self) -> bool:
        """Whether the server delivers this shard to this process, as far as is known here."""
        return self._consumer.pinned or not self._deployment.pinned

    @property
    def open_runs(self) -> int:
        """How many open runs this process has the lease of. Parked ones are nobody's."""
        return len(self._leases)

    @property
    def kept_states(self) -> int:
        """How many runs' states are in memory."""
        return len(self._runs)

    async def run(self) -> None:
        """Serve the shard until `stop`; then give its open runs back at once."""
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._lookout.run())
            try:
                await self._consumer.run(self._handle)
            finally:
                looking.cancel()
        await self._lookout.give_back()

    def stop(self) -> None:
        """Take in no more."""
        self._consumer.stop()

    async def hand_over(self) -> None:
        """Let another supervisor have the shard."""
        await self._consumer.hand_over(pause_s=3 * self._deployment.pin_s)
        await self._lookout.give_back()

    def republish(self) -> None:
        """Have what is due in every open run queued again: another server answers now, and queues are only a cache."""
        self._lookout.republish()

    # One message

    async def _handle(self, delivery: Delivery) -> Disposition:
        self._runs.note(delivery)
        self._clock.note(delivery.at)
        try:
            place = self._subjects.parse_run(delivery.subject)
        except ValueError as error:
            return await self._bury(delivery, error)
        key, template = place.key, self._subjects.run_template(place.kind)
        with (
            working_on(Work(key.tenant, key.run)),
            Handling(
                template, tenant=key.tenant, run=key.run, headers=delivery.headers, attributes=from_stream(delivery)
            ),
        ):
            return await self._serve(place, delivery)

    async def _serve(self, place: RunSubject, delivery: Delivery) -> Disposition:
        try:
            async with self._runs.use(place.key) as run:
                return await self._take(run, place, delivery)
        except (RetryLater, StreamMissing) as error:
            _log.warning("run %s: %s; it comes again", place.key.run, error)
            tell_failure(error)
            return Nak(delay_s=_COME_BACK_S)

    async def _take(self, run: OpenRun, place: RunSubject, delivery: Delivery) -> Disposition:
        try:
            fact = await self._reader.fact(place, delivery)
        except DecodeError as error:
            tell_failure(error)
            buried = await self._bury(delivery, error)
            if place.kind == "request":
                await self._conductor.reject(run, str(error))
            return buried
        state = await self._state(run, fact, delivery)
        if state.request is None:
            return await self._dead.bury(delivery, "there is no such run", kind="unprocessable")
        tell_waits(run.key, state, fact)
        run.now = max(run.now or delivery.at, delivery.at)
        run.crowded = self._leases.of(run.key) is None and len(self._leases) >= self._deployment.run_limit
        with self._leases.holding(run.key, delivery, state.origin_seq) as held:
            lease = self._leases.of(run.key)
            all_timers = lease is not None and not lease.watched
            was_over = state.is_over
            orders = await self._conductor.advance(run, state, all_timers=all_timers)
            if was_over and (delivery.deliveries > 1 or isinstance(fact, RequestAccepted)):
                await self._conductor.withdraw(run, orders)
            await self._lookout.let_go(run, orders)
        reach("supervisor.before_ack")
        return Hold() if held else Ack()

    async def _state(self, run: OpenRun, fact: Fact, delivery: Delivery) -> RunState:
        """The run's state with the fact in it."""
        lease = self._leases.of(run.key)
        origin_seq = lease.origin_seq if lease else 1
        if run.state is not None:
            return evolve(run.state, fact)
        match fact:
            case RequestAccepted() if delivery.deliveries == 1 and lease is None:
                # Most likely new; if it is not, the commit is refused and the log is folded.
                return evolve(RunState(), fact)
            case TimerFired() if lease is None:
                origin_seq = fact.origin_seq
            case _:
                pass
        return evolve(await self._conductor.fold(run, from_seq=origin_seq, known=delivery.seq), fact)

    async def _bury(self, delivery: Delivery, error: Exception) -> Ack:
        _log.warning("%s: dead letter: %s", delivery.subject, error)
        return await self._dead.bury(delivery, str(error), error=error)
