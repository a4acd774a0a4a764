"""Conductor: carries a run on: decides what follows from its state and does it, until nothing new follows."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope
from stretto.bus.errors import Conflict, RetryLater
from stretto.bus.failpoints import reach
from stretto.bus.message import Message
from stretto.bus.registry import Registry
from stretto.bus.run_log import RunLog
from stretto.bus.server_clock import ServerClock
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey
from stretto.bus.wire import Wire
from stretto.shared.context.so_far import conversation_so_far
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.decision import Decision, Event, PlanMade, PlanningAsked, RunRejected
from stretto.shared.contracts.request import Request
from stretto.shared.conversations import Conversations, turn_of
from stretto.shared.telemetry.counters import run_ended
from stretto.supervisor.backlog import Backlog
from stretto.supervisor.choose import Chooser
from stretto.supervisor.decide import Limits, Orders, decide
from stretto.supervisor.dispatcher import Dispatcher
from stretto.supervisor.facts import Answered, Decided
from stretto.supervisor.open_runs import OpenRun
from stretto.supervisor.reading import FactReader
from stretto.supervisor.roles import PLANNER
from stretto.supervisor.spans import planning, tell_run
from stretto.supervisor.state import RunState, evolve
from stretto.supervisor.unfinished import UnfinishedWork
from stretto.supervisor.withdrawal import Withdrawal

__all__ = ["Conductor"]

_FOLD_AGAIN_S: Final = 0.05
_FOLDS: Final = 40
_BUSY_S: Final = 5.0
"""A request that is sent again after this long meets another state of affairs."""


class Conductor:
    """Commits, publishes and answers for the runs of one shard. All of it may be done again, by whomever.

    Args:
        soon: timers that are due within this time are set at once; others only for runs that turn out to take longer.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        deployment: Deployment,
        wire: Wire,
        registry: Registry,
        chooser: Chooser,
        dispatcher: Dispatcher,
        limits: Limits,
        instance: str,
        clock: ServerClock,
        backlog: Backlog,
        soon: timedelta,
    ) -> None:
        self._connection = connection
        self._subjects = deployment.subjects
        self._wire = wire
        self._registry = registry
        self._chooser = chooser
        self._dispatcher = dispatcher
        self._limits = limits
        self._instance = instance
        self._clock = clock
        self._backlog = backlog
        self._soon = soon
        self._log = RunLog(connection=connection, subjects=self._subjects, wire=wire)
        self._reader = FactReader(subjects=self._subjects, wire=wire)
        self._unfinished = UnfinishedWork(connection=connection, subjects=self._subjects, wire=wire)
        self._withdrawal = Withdrawal(connection=connection, deployment=deployment, wire=wire, instance=instance)

    async def fold(
        self, run: OpenRun, *, from_seq: int = 1, known: int = 0, shows: Callable[[RunState], bool] = lambda _: True
    ) -> RunState:
        """The state from the log, which must show what is known of it: sequence `known`, and what `shows` looks for. A replica may lag.

        Raises:
            RetryLater: it does not, for long.
        """
        reach("supervisor.before_fold")
        for _ in range(_FOLDS):
            state = await self._reader.fold(await self._log.fold(run.key, from_seq=from_seq))
            if state.request is None:
                from_seq = 1  # what the origin was taken from may be wrong
            if state.last_seq >= known and shows(state):
                return state
            await asyncio.sleep(_FOLD_AGAIN_S)
        raise RetryLater(f"the log of run {run.key.run} does not show what was delivered of it")

    async def advance(self, run: OpenRun, state: RunState, *, all_timers: bool) -> Orders:
        """Do what follows from the state; return the last orders. `run.state` is then the state that they follow from."""
        while True:
            run.state = state
            orders = self._decide(run, state)
            events: Sequence[Event] = orders.commit
            if orders.needs_plan and state.request is not None:
                events = await self._begin(run, state.request.request)
            if events:
                state = await self._commit(run, state, events)
            elif orders.answer is not None:
                state = await self._answer(run, state, orders)
            else:
                await self._publish(run, state, orders, all_timers=all_timers or orders.parked)
                return orders

    async def withdraw(self, run: OpenRun, orders: Orders) -> None:
        """Take back what is out for a run that is over, and tell of it. For whoever finds it so: the one who ended it may have died."""
        await self._withdrawal.withdraw(run.key, orders.outstanding)
        if run.state is not None and run.state.answered is not None:
            tell_run(run.key, run.state, run.state.answered.answer, run.state.answered.at)

    async def reject(self, run: OpenRun, reason: str) -> None:
        """Tell whoever sent a request that cannot be read; unless the run has one that can."""
        state = await self.fold(run)
        if state.request is None and not state.is_over:
            answer = Answer(state="rejected", reason=f"the request cannot be read: {reason}")
            written = await self._log.write_once(
                run.key, self._subjects.answer(run.key), answer, self._wrap(run.key, answer)
            )
            if written:
                run_ended(answer.state)
                tell_run(run.key, state, answer, self._clock.now())

    def _decide(self, run: OpenRun, state: RunState) -> Orders:
        now = self._clock.now()
        absent_since = {role: now - timedelta(seconds=ago_s) for role, ago_s in self._registry.last_served().items()}
        return decide(state, self._now(run), self._limits, self._registry.roles(), absent_since)

    def _now(self, run: OpenRun) -> datetime:
        return run.now or self._clock.now()

    async def _begin(self, run: OpenRun, request: Request) -> Sequence[Event]:
        """The events that begin a run; or that turn it away, while there is no room for it."""
        if run.crowded:
            return (_busy("too many runs are open"),)
        with planning("supervisor"):
            events = await self._chooser.choose(request, self._registry.alive())
        full = sorted(_roles(events) & set(self._backlog.roles))
        if full:
            return (_busy(f"the queue of {full[0]} is full"),)
        return await self._with_conversation(run.key, request, events)

    async def _with_conversation(self, key: RunKey, request: Request, events: Sequence[Event]) -> Sequence[Event]:
        """The events with what was said before the run: it is committed, so that all who follow the log see the same."""
        if request.conversation is None:
            return events
        turns = [one for one in await self._conversations(key).turns(request.conversation) if one.run != key.run]
        known = {"conversation": conversation_so_far(request.conversation, turns)}
        return [one.model_copy(update=known) if isinstance(one, PlanMade | PlanningAsked) else one for one in events]

    async def _add_turn(self, key: RunKey, request: Request | None, answer: Answer) -> None:
        """Write what the run adds to its conversation. Before the answer: who has that and asks on finds the turn there; and when this
        process dies between the two, the run is still open, and whoever answers it writes the same turn again, once."""
        turn = turn_of(key.run, request, answer, self._clock.now()) if request and request.conversation else None
        if turn is not None and request is not None and request.conversation is not None:
            await self._conversations(key).add(request.conversation, turn)

    def _conversations(self, key: RunKey) -> Conversations:
        return Conversations(self._connection, self._subjects, self._wire, key.tenant, self._instance)

    async def _commit(self, run: OpenRun, state: RunState, events: Sequence[Event]) -> RunState:
        decision = Decision(events=tuple(events))
        subject = self._subjects.decision(run.key)
        reach("supervisor.before_commit")
        try:
            seq = await self._log.append_next(
                run.key, subject, decision, self._wrap(run.key, decision), after=state.decision_seq
            )
        except Conflict:  # another supervisor decided: what it decided holds
            decision_seq = state.decision_seq
            # It may stand before what was delivered last: a request that was sent twice is taken for a new one at first.
            return await self.fold(run, known=state.last_seq, shows=lambda found: found.decision_seq > decision_seq)
        reach("supervisor.committed")
        return evolve(state, Decided(seq, self._now(run), decision))

    async def _answer(self, run: OpenRun, state: RunState, orders: Orders) -> RunState:
        """Answer; then withdraw what is still out: an agent that is stopped looks whether the run is over."""
        assert orders.answer is not None  # noqa: S101 (the caller saw it)
        answer = orders.answer
        if orders.outstanding:
            answer = await self._unfinished.bill(run.key, answer, orders.outstanding, origin_seq=state.origin_seq)
        await self._add_turn(run.key, state.request.request if state.request else None, answer)
        reach("supervisor.before_answer")
        if not await self._log.write_once(run.key, self._subjects.answer(run.key), answer, self._wrap(run.key, answer)):
            return await self.fold(run, known=state.last_seq, shows=lambda found: found.is_over)
        reach("supervisor.answered")
        run_ended(answer.state)
        tell_run(run.key, state, answer, self._clock.now())
        await self._withdrawal.withdraw(run.key, orders.outstanding)
        return evolve(state, Answered(state.last_seq + 1, self._now(run), answer))

    async def _publish(self, run: OpenRun, state: RunState, orders: Orders, *, all_timers: bool) -> None:
        self._backlog.note(run.key, await self._dispatcher.publish(run, state, orders))
        await self._dispatcher.await_roles(run, state, orders.waiting)
        soon = self._now(run) + self._soon
        for timer in orders.timers:
            if all_timers or timer.at < soon:
                await self._dispatcher.arm(run, state, timer)

    def _wrap(self, key: RunKey, message: Message) -> Envelope:
        return Envelope.of(message, tenant=key.tenant, run=key.run, sender=self._instance)


def _busy(why: str) -> RunRejected:
    return RunRejected(reason=f"busy: try again in {_BUSY_S:g} s ({why})", retry_in_s=_BUSY_S)


def _roles(events: Sequence[Event]) -> set[str]:
    """The roles that a run which begins so needs, as far as is known."""
    roles: set[str] = set()
    for event in events:
        match event:
            case PlanMade(plan=plan):
                roles.update(task.role for task in plan.tasks)
            case PlanningAsked():
                roles.add(PLANNER)
            case _:
                pass
    return roles
