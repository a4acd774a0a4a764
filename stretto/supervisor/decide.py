"""decide: what follows from a run's state. Pure: no clock, no randomness, no I/O.

Only what cannot be derived from the log is to be committed. All else (which tasks are due, which attempt, which revision, how the run
ends) follows from it again each time, so that doing it twice, or by two supervisors, is harmless.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.decision import Event, RoleUnserved
from stretto.supervisor.facts import Moment, RequestAccepted
from stretto.supervisor.merge import merge
from stretto.supervisor.state import RunState
from stretto.supervisor.task_state import DueTask, TaskState
from stretto.supervisor.timers import TimerOrder
from stretto.supervisor.unfolding import End

__all__ = ["DueTask", "Limits", "Orders", "Outstanding", "TimerOrder", "WaitingRole", "decide"]


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
class Outstanding:
    """An attempt that had no result when the run ended: it was queued, waited for a person, or was still to come."""

    role: str
    task: str
    attempt: int


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
        deadline: when the run's time is over, as it stands: due tasks have no more than until then.
        timers: every timer that the run needs and that has not fired: its deadline, the next tries of tasks, the ends of questions.
        waiting: roles that are due and unserved.
        parked: nothing is due: the run waits for people and the clock alone.
        answer: how the run ended; nothing else is ordered with it but `outstanding`: what is withdrawn.
    """

    commit: tuple[Event, ...] = ()
    needs_plan: bool = False
    due: tuple[DueTask, ...] = ()
    deadline: datetime | None = None
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
    in the log counts. Of a run that is answered only `outstanding` is told, for whoever has to withdraw it again.

    `served` are the roles that somebody serves now; without it no role is given up. A role counts as waiting from the moment its first
    due task became due, and not before `absent_since`, when it was last served, where that is known (an agent that dies after an hour
    of work has just become absent). Past `limits.role_wait_s` of that, RoleUnserved is ordered.
    """
    if state.request is None or state.lap is None:
        return Orders()
    if state.is_over or state.end is not None:
        outstanding = tuple(Outstanding(task.role, task.id, task.attempt) for task in state.in_progress)
        answer = merge(state, _told(state.end, state, limits)) if state.end and not state.is_over else None
        return Orders(answer=answer, outstanding=outstanding)

    deadline = TimerOrder(state.deadline_timer, _deadline(state, state.request, state.lap, limits))
    if state.planned is None:
        return Orders(needs_plan=True, deadline=deadline.at, timers=(deadline,))
    tasks = state.in_progress
    due = tuple(task.due for task in tasks if task.due is not None)
    timers = [timer for task in tasks if task.due is None for timer in task.timers]
    if state.own_limit_s is not None or not state.waits_for_people:
        timers.insert(0, deadline)
    waiting = _waiting(tasks, limits, served, absent_since or {})
    return Orders(
        commit=tuple(
            RoleUnserved(role=one.role, waited_s=(now - one.since).total_seconds())
            for one in waiting
            if now >= one.until
        ),
        due=due,
        deadline=deadline.at,
        timers=tuple(timers),
        waiting=waiting,
        parked=not due,
    )


def _deadline(state: RunState, request: RequestAccepted, lap: Moment, limits: Limits) -> datetime:
    """When the run's time is over: a limit of its own counts from its beginning, the deployment's from the last settled question."""
    if state.own_limit_s is not None:
        return request.at + timedelta(seconds=state.own_limit_s)
    return lap.at + timedelta(seconds=limits.run_deadline_s)


def _told(end: End, state: RunState, limits: Limits) -> End:
    """The end with its whole reason: which limit the deployment sets is not in the log."""
    if not end.overdue:
        return end
    since = " of the last decision of a person" if state.laps and state.own_limit_s is None else ""
    limit_s = state.own_limit_s or limits.run_deadline_s
    return replace(end, reason=f"not finished within {limit_s:g} s{since}, waiting for {end.reason}")


def _waiting(
    tasks: Iterable[TaskState],
    limits: Limits,
    served: Collection[str] | None,
    absent_since: Mapping[str, datetime],
) -> tuple[WaitingRole, ...]:
    if served is None:
        return ()
    since: dict[str, datetime] = {}
    for task in tasks:
        if task.due is not None and task.due.role not in served and task.moment:
            since[task.role] = min(since.get(task.role, task.moment.at), task.moment.at)
    if not since:
        return ()
    wait = timedelta(seconds=limits.role_wait_s)
    since = {role: max(at, absent_since.get(role, at)) for role, at in since.items()}
    return tuple(WaitingRole(role, at, at + wait) for role, at in since.items())
