"""Shard: the loop around `evolve` and `decide` for the runs of one shard. Commit, publish, acknowledge: in that order."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from stretto.bus.connection import Connection
from stretto.bus.consume import Consumer, ConsumerOptions
from stretto.bus.dead_letters import DeadLetters
from stretto.bus.delivery import Ack, Delivery, Disposition, Hold, Nak
from stretto.bus.envelope import Envelope
from stretto.bus.errors import BusError, Busy, Conflict, DecodeError, RetryLater, StreamMissing
from stretto.bus.message import Message
from stretto.bus.registry import Registry
from stretto.bus.run_log import RunLog
from stretto.bus.streams import SUPERVISORS, Deployment
from stretto.bus.subjects import RunSubject
from stretto.bus.wire import Wire
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.decision import Decision, Event
from stretto.supervisor.choose import Chooser
from stretto.supervisor.decide import Limits, decide
from stretto.supervisor.dispatcher import Dispatcher
from stretto.supervisor.facts import Answered, Decided
from stretto.supervisor.open_runs import OpenRun, OpenRuns
from stretto.supervisor.reading import FactReader
from stretto.supervisor.server_clock import ServerClock
from stretto.supervisor.state import RunState, evolve

__all__ = ["Shard"]

_log = logging.getLogger(__name__)
_SLOTS = 256
_MAX_OPEN_RUNS = 5_000
_COME_BACK_S = 1.0
_FOLD_AGAIN_S = 0.05
_FOLDS = 40


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
    ) -> None:
        self._deployment = deployment
        # Runs that are over before their first renewal never pay for a timer.
        self._renew_every = timedelta(seconds=deployment.run_lease_s / 3)
        self._subjects = deployment.subjects
        self._registry = registry
        self._chooser = chooser
        self._dispatcher = dispatcher
        self._limits = limits
        self._instance = instance
        self._runs = OpenRuns()
        self._clock = ServerClock()
        self._log = RunLog(connection=connection, subjects=self._subjects, wire=wire)
        self._reader = FactReader(subjects=self._subjects, wire=wire)
        self._dead = DeadLetters(connection=connection, subjects=self._subjects, wire=wire, sender=instance)
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
        return len(self._runs)

    async def run(self) -> None:
        """Serve the shard until `stop`; then give its open runs back at once."""
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep_leases())
            try:
                await self._consumer.run(self._handle)
            finally:
                keeping.cancel()
        await self._give_back()

    def stop(self) -> None:
        """Take in no more."""
        self._consumer.stop()

    async def hand_over(self) -> None:
        """Let another supervisor have the shard."""
        await self._consumer.hand_over(pause_s=3 * self._deployment.pin_s)
        await self._give_back()

    async def republish(self) -> None:
        """Queue what is due in every open run again: another server answers now, and queues are only a cache."""
        for run in self._runs:
            run.published.clear()
            await self._look_again(run)

    # One message

    async def _handle(self, delivery: Delivery) -> Disposition:
        self._runs.note(delivery)
        self._clock.note(delivery.at)
        try:
            place = self._subjects.parse_run(delivery.subject)
        except ValueError as error:
            return await self._bury(delivery, str(error))
        is_request = place.kind == "request"
        if is_request and place.key not in self._runs and len(self._runs) >= _MAX_OPEN_RUNS:
            return Nak(delay_s=_COME_BACK_S)
        run = self._runs.open(place.key)
        run.users += 1
        try:
            async with run.lock:
                return await self._take(run, place, delivery)
        except Busy as error:
            return Nak(delay_s=error.retry_in_s)
        except (RetryLater, StreamMissing) as error:
            _log.warning("run %s: %s; it comes again", place.key.run, error)
            return Nak(delay_s=_COME_BACK_S)
        finally:
            run.users -= 1
            if not run.users and run.lease is None:
                self._runs.close(run)

    async def _take(self, run: OpenRun, place: RunSubject, delivery: Delivery) -> Disposition:
        try:
            fact = await self._reader.fact(place, delivery)
        except DecodeError as error:
            buried = await self._bury(delivery, str(error))
            if place.kind == "request":
                await self._reject(run, str(error))
            return buried
        state = run.state
        if state is None and place.kind == "request" and delivery.deliveries == 1:
            state = RunState()  # most likely new; if it is not, the commit is refused and the log is folded
        if state is None:
            state = await self._fold(run, delivery)
        state = evolve(state, fact)
        if state.request is None:
            return await self._bury(delivery, "there is no such run")
        run.now = max(run.now, delivery.at) if run.now else delivery.at
        if place.kind == "request" and delivery.seq == state.origin_seq:
            run.lease = delivery
        state = await self._advance(run, state)
        if state.is_over:
            await self._end(run)
            return Ack()
        return Hold() if run.lease is delivery else Ack()

    async def _advance(self, run: OpenRun, state: RunState, *, every_timer: bool = False) -> RunState:
        """Do what follows from the state, until nothing new follows. Timers that are far off are set only with `every_timer`."""
        while True:
            run.state = state
            if state.is_over or state.request is None or run.now is None:
                return state
            orders = decide(state, run.now, self._limits, self._registry.roles(), self._absent_since())
            events = orders.commit
            if orders.needs_plan:
                events = await self._chooser.choose(state.request.request, self._registry.alive())
            if events:
                state = await self._commit(run, state, events)
            elif orders.answer is not None:
                state = await self._answer(run, state, orders.answer)
            else:
                await self._dispatcher.publish(run, state, orders)
                await self._dispatcher.await_roles(run, orders.waiting)
                for timer in orders.timers:
                    if every_timer or timer.at < run.now + 2 * self._renew_every:
                        await self._dispatcher.arm(run, timer)
                return state

    def _absent_since(self) -> dict[str, datetime]:
        now = self._clock.now()
        return {role: now - timedelta(seconds=ago_s) for role, ago_s in self._registry.last_served().items()}

    async def _commit(self, run: OpenRun, state: RunState, events: Sequence[Event]) -> RunState:
        decision = Decision(events=tuple(events))
        subject = self._subjects.decision(run.key)
        try:
            seq = await self._log.append_next(
                run.key, subject, decision, self._wrap(run, decision), after=state.decision_seq
            )
        except Conflict:  # another supervisor decided: what it decided holds
            return await self._fold(run)
        assert run.now is not None  # noqa: S101 (set before anything is decided)
        return evolve(state, Decided(seq, run.now, decision))

    async def _answer(self, run: OpenRun, state: RunState, answer: Answer) -> RunState:
        if not await self._log.write_once(run.key, self._subjects.answer(run.key), answer, self._wrap(run, answer)):
            return await self._fold(run)
        assert run.now is not None  # noqa: S101 (set before anything is decided)
        return evolve(state, Answered(state.last_seq + 1, run.now, answer))

    async def _fold(self, run: OpenRun, delivery: Delivery | None = None) -> RunState:
        """The state from the log. A replica may lag: what was delivered or refused must be in it."""
        from_seq = run.lease.seq if run.lease else 1
        known = delivery.seq if delivery else (run.state.last_seq + 1 if run.state else 0)
        for _ in range(_FOLDS):
            state = await self._reader.fold(await self._log.fold(run.key, from_seq=from_seq))
            if state.last_seq >= known:
                return state
            await asyncio.sleep(_FOLD_AGAIN_S)
        raise RetryLater(f"the log of run {run.key.run} does not show what was delivered of it")

    # Leases

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._renew_every.total_seconds())
            if not self.is_ours:
                await self._give_back()
            for run in self._runs:
                with contextlib.suppress(BusError):  # away for now: the lease holds or another supervisor has it
                    await self._look_again(run)

    async def _look_again(self, run: OpenRun) -> None:
        """Renew the lease of a run that takes longer, set its timers now that it does, and see whether anything changed for it."""
        if run.lease is None:
            return
        await run.lease.renew()
        async with run.lock:
            state = run.state or await self._fold(run)
            state = await self._advance(run, state, every_timer=True)
            if state.is_over:
                await self._end(run)

    async def _end(self, run: OpenRun) -> None:
        lease, run.lease = run.lease, None
        if lease is not None:
            await lease.ack()
        self._runs.close(run)

    async def _give_back(self) -> None:
        """Let go of all open runs: the server delivers their requests to whoever serves the shard now."""
        for run in self._runs:
            self._runs.close(run)
            lease, run.lease = run.lease, None
            if lease is not None:
                with contextlib.suppress(BusError):
                    await lease.nak(0.05)

    # What cannot be processed

    async def _bury(self, delivery: Delivery, reason: str) -> Ack:
        _log.warning("%s: dead letter: %s", delivery.subject, reason)
        return await self._dead.bury(delivery, reason)

    async def _reject(self, run: OpenRun, reason: str) -> None:
        """Tell whoever sent a request that cannot be read; unless the run has one that can."""
        state = await self._reader.fold(await self._log.fold(run.key))
        if state.request is None and not state.is_over:
            answer = Answer(state="rejected", reason=f"the request cannot be read: {reason}")
            await self._log.write_once(run.key, self._subjects.answer(run.key), answer, self._wrap(run, answer))
        run.state = None

    def _wrap(self, run: OpenRun, message: Message) -> Envelope:
        return Envelope.of(message, tenant=run.key.tenant, run=run.key.run, sender=self._instance)
