"""decide: what follows from a run's state. Pure: no clock, no randomness, no I/O.

Only what cannot be derived from the log is to be committed. All else (which tasks are due, which attempt, which revision, how the run
ends) follows from it again each time, so that doing it twice, or by two supervisors, is harmless.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import JsonValue

from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.decision import Event, RoleUnserved, RunRejected
from stretto.shared.contracts.question import Settled
from stretto.supervisor.expansion import End, Expansion, expand
from stretto.supervisor.facts import RequestAccepted
from stretto.supervisor.merge import merge
from stretto.supervisor.state import WHOLE_LOG, RunState

__all__ = ["DEADLINE", "DueTask", "Limits", "Orders", "Outstanding", "TimerOrder", "WaitingRole", "decide"]

DEADLINE: Final = "deadline"
"""The timer that ends a run that takes too long."""

_NAMED_IN_REASON: Final = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings of the deployment.

    Attributes:
        run_deadline_s: for requests without a deadline of their own.
        role_wait_s: how long a due task waits for a role that nobody serves.
    """

    run_deadline_s: float = 900.0
    role_wait_s: float = 60.0


@dataclass(frozen=True, slots=True)
class DueTask:
    """A task whose inputs are there and which has no result for this attempt.

    Attributes:
        deadline: the run's.
        time_limit_s: how long the attempt may take once an agent has it; None for no limit of its own.
        settled: the questions that the attempt asked so far, all settled, in their order.
    """

    task: str
    role: str
    attempt: int
    input: dict[str, JsonValue]
    deadline: datetime
    time_limit_s: float | None = None
    settled: tuple[Settled, ...] = ()


@dataclass(frozen=True, slots=True)
class Outstanding:
    """An attempt that had no result when the run ended."""

    role: str
    task: str
    attempt: int


@dataclass(frozen=True, slots=True)
class TimerOrder:
    """A timer to set for the run, once by name."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WaitingRole:
    """A role that is due and that nobody serves: at `until` the run is given up, so decide again then."""

    role: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Orders:
    """What the loop has to do, in this order.

    Attributes:
        commit: events to append as one decision.
        needs_plan: choose a playbook and commit PlanMade, PlanningAsked or RunRejected.
        due: every task that can run now, each time anew; publishing one again is harmless.
        timers: every timer that the run needs and that has not fired.
        waiting: roles that are due and unserved.
        parked: nothing is due: the run waits for people and the clock alone.
        answer: how the run ended; nothing else is ordered with it but `outstanding`: what is withdrawn.
    """

    commit: tuple[Event, ...] = ()
    needs_plan: bool = False
    due: tuple[DueTask, ...] = ()
    timers: tuple[TimerOrder, ...] = ()
    waiting: tuple[WaitingRole, ...] = ()
    parked: bool = False
    answer: Answer | None = None
    outstanding: tuple[Outstanding, ...] = ()


def decide(
    state: RunState,
    now: datetime,
    limits: Limits,
    served: Collection[str] | None = None,
    absent_since: Mapping[str, datetime] | None = None,
) -> Orders:
    """What follows from the state.

    The answer depends on the log only up to the fact that ended the run: later facts do not change it. Of several causes the earliest
    in the log counts.

    `served` are the roles that somebody serves now; without it no role is given up. A role counts as waiting from the moment its first
    due task became due, and not before `absent_since`, when it was last served, where that is known (an agent that dies after an hour
    of work has just become absent). Past `limits.role_wait_s` of that, RoleUnserved is ordered.
    """
    request = state.request
    if request is None or state.is_over:
        return Orders()
    expansion = _expansion(state, request, WHOLE_LOG)
    limit_s = request.request.deadline_s or limits.run_deadline_s
    ends = [*_ends(state, expansion, limit_s), *expansion.ends]
    if ends:
        end = min(ends, key=lambda one: one.moment.seq)
        until = end.moment.seq
        if until < state.last_seq:
            expansion = _expansion(state, request, until)
        return Orders(answer=merge(state.course_at(until), expansion, end))

    deadline = request.at + timedelta(seconds=limit_s)
    timers = (TimerOrder(DEADLINE, deadline),)
    if state.planned is None:
        return Orders(needs_plan=True, timers=timers)
    waiting = _waiting(expansion, limits, served, absent_since or {})
    return Orders(
        commit=tuple(
            RoleUnserved(role=one.role, waited_s=(now - one.since).total_seconds())
            for one in waiting
            if now >= one.until
        ),
        due=_due(expansion, deadline),
        timers=timers,
        waiting=waiting,
    )


def _expansion(state: RunState, request: RequestAccepted, until: int) -> Expansion:
    course = state.course_at(until)
    if course is None:
        return Expansion()
    return expand(course, request.request, state.results, until=until)


def _ends(state: RunState, expansion: Expansion, limit_s: float) -> list[End]:
    """The causes that do not come from tasks."""
    ends: list[End] = []
    for decided in (state.rejected, state.unserved):
        if decided is None:
            continue
        for event in decided.decision.events:
            match event:
                case RunRejected(reason=reason):
                    ends.append(End(decided.moment, "rejected", reason))
                case RoleUnserved(role=role, waited_s=waited_s):
                    ends.append(End(decided.moment, "failed", _unserved(role, waited_s)))
                case _:
                    pass
    if state.cancel is not None:
        why = f": {state.cancel.command.reason}" if state.cancel.command.reason else ""
        ends.append(End(state.cancel.moment, "cancelled", f"cancelled by {state.cancel.principal}{why}"))
    fired = state.timers.get(DEADLINE)
    if fired is not None:
        reason = f"not finished within {limit_s:g} s, waiting for {_waited_for(state, fired.seq)}"
        ends.append(End(fired.moment, "failed", reason))
    return ends


def _unserved(role: str, waited_s: float) -> str:
    return f"nobody serves the role {role} (waited {waited_s:.0f} s): start one with `stretto agent run {role}`"


def _waited_for(state: RunState, until: int) -> str:
    if state.request is None or state.course_at(until) is None:
        return "a plan"
    due = [task for task in _expansion(state, state.request, until).tasks if task.status == "due"]
    names = [f"{task.id} ({task.role})" for task in due[:_NAMED_IN_REASON]]
    if len(due) > len(names):
        names.append(f"{len(due) - len(names)} more")
    return ", ".join(names) or "the supervisor"


def _waiting(
    expansion: Expansion, limits: Limits, served: Collection[str] | None, absent_since: Mapping[str, datetime]
) -> tuple[WaitingRole, ...]:
    if served is None:
        return ()
    since: dict[str, datetime] = {}
    for task in expansion.tasks:
        if task.status == "due" and task.moment and task.role not in served:
            since[task.role] = min(since.get(task.role, task.moment.at), task.moment.at)
    wait = timedelta(seconds=limits.role_wait_s)
    since = {role: max(at, absent_since.get(role, at)) for role, at in since.items()}
    return tuple(WaitingRole(role, at, at + wait) for role, at in since.items())


def _due(expansion: Expansion, deadline: datetime) -> tuple[DueTask, ...]:
    return tuple(
        DueTask(
            task=task.id,
            role=task.role,
            attempt=len(task.attempts) + 1,
            input=task.input or {},
            deadline=deadline,
            time_limit_s=task.planned.time_limit_s,
        )
        for task in expansion.tasks
        if task.status == "due"
    )
