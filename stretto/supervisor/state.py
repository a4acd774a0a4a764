"""RunState: what a run's log says, folded fact by fact.

Each part of the state is the first of its kind by sequence (or the last sequence seen), so the fold is a join: facts may come in any
order and any number of times, and give the same state.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar, assert_never

from stretto.shared.contracts.decision import PlanMade, PlanningAsked, RoleUnserved, RunRejected
from stretto.supervisor.facts import (
    Answered,
    Asked,
    CommandGiven,
    Decided,
    Fact,
    RequestAccepted,
    ResultRecorded,
    TimerFired,
)
from stretto.supervisor.planning import Course, set_course
from stretto.supervisor.roles import PLANNER
from stretto.supervisor.task_state import Results

__all__ = ["WHOLE_LOG", "RunState", "evolve"]

WHOLE_LOG: Final = sys.maxsize
"""As an upper limit of sequences: none."""

_F = TypeVar("_F", bound=Fact)


@dataclass(frozen=True, slots=True)
class RunState:
    """One run, as far as its log is known.

    Attributes:
        request: the first request; it is the run.
        planned: the first decision that makes a plan or asks the planner for one.
        rejected: the first that rejects the request.
        unserved: the first that gives up on a role.
        results: the first result of each (role, task, attempt).
        cancel: the first cancel command.
        timers: the first firing of each timer, by name.
        answered: the first answer: the run is over.
        course: the plan the run follows, derived from the above.
        decision_seq: sequence of the last decision; 0 when there is none.
        last_seq: the highest sequence seen; 0 when there is none.
    """

    request: RequestAccepted | None = None
    planned: Decided | None = None
    rejected: Decided | None = None
    unserved: Decided | None = None
    results: Results = field(default_factory=dict[tuple[str, str, int], ResultRecorded])
    cancel: CommandGiven | None = None
    timers: Mapping[str, TimerFired] = field(default_factory=dict[str, TimerFired])
    answered: Answered | None = None
    course: Course | None = None
    decision_seq: int = 0
    last_seq: int = 0

    @property
    def origin_seq(self) -> int:
        """Sequence of the request: readers of the run's log begin there. 0 when it is not known."""
        return self.request.seq if self.request else 0

    @property
    def is_over(self) -> bool:
        return self.answered is not None

    def course_at(self, until: int) -> Course | None:
        """The course as far as it follows from the log up to sequence `until`."""
        if self.request is None or self.planned is None or self.planned.seq > until:
            return None
        if self.course is not None and self.course.shape is not None and self.course.since.seq <= until:
            return self.course
        return _course(self, until)


def evolve(state: RunState, fact: Fact) -> RunState:
    """`state` with `fact` in it. Folding the same fact again changes nothing, and the order of facts does not matter."""
    last_seq = max(state.last_seq, fact.seq)
    match fact:
        case RequestAccepted():
            return _with_course(replace(state, last_seq=last_seq, request=_first(state.request, fact)))
        case Decided():
            return _with_course(_decided(state, fact, last_seq))
        case ResultRecorded(result=result):
            key = (result.role, result.task, result.attempt)
            results = {**state.results, key: _first(state.results.get(key), fact)}
            state = replace(state, last_seq=last_seq, results=results)
            return _with_course(state) if result.role == PLANNER else state
        case Asked():
            return replace(state, last_seq=last_seq)
        case CommandGiven(command=command):
            cancel = _first(state.cancel, fact) if command.verb == "cancel" else state.cancel
            return replace(state, last_seq=last_seq, cancel=cancel)
        case TimerFired(name=name):
            timers = {**state.timers, name: _first(state.timers.get(name), fact)}
            return replace(state, last_seq=last_seq, timers=timers)
        case Answered():
            return replace(state, last_seq=last_seq, answered=_first(state.answered, fact))
        case _:
            assert_never(fact)


def _first(known: _F | None, fact: _F) -> _F:
    return fact if known is None or fact.seq < known.seq else known


def _decided(state: RunState, fact: Decided, last_seq: int) -> RunState:
    planned, rejected, unserved = state.planned, state.rejected, state.unserved
    for event in fact.decision.events:
        match event:
            case PlanMade() | PlanningAsked():
                planned = _first(planned, fact)
            case RunRejected():
                rejected = _first(rejected, fact)
            case RoleUnserved():
                unserved = _first(unserved, fact)
    return replace(
        state,
        last_seq=last_seq,
        decision_seq=max(state.decision_seq, fact.seq),
        planned=planned,
        rejected=rejected,
        unserved=unserved,
    )


def _with_course(state: RunState) -> RunState:
    course = _course(state, WHOLE_LOG)
    return state if course is None else replace(state, course=course)


def _course(state: RunState, until: int) -> Course | None:
    if state.request is None or state.planned is None:
        return None
    for event in state.planned.decision.events:
        if isinstance(event, PlanMade | PlanningAsked):
            return set_course(event, state.planned.moment, state.request.request, state.results, until)
    return None
