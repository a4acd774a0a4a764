"""RunState: what a run's log says, followed fact by fact in the log's order.

Facts may be given in any order and any number of times: one that is late is put in its place, and the log is followed again from its
start. So the state is that of the log, whoever reads it, and what stands in the log behind the fact that ended the run changes nothing.
"""

from bisect import bisect_left
from functools import reduce
from typing import Final, NamedTuple, assert_never

from stretto.shared.contracts.decision import Decision, PlanMade, PlanningAsked, RoleUnserved, RunRejected
from stretto.supervisor.expansion import Expansion, advance, expand
from stretto.supervisor.facts import (
    Answered,
    Asked,
    CommandGiven,
    Decided,
    Fact,
    Moment,
    RequestAccepted,
    ResultRecorded,
    TimerFired,
)
from stretto.supervisor.planning import Course, set_course
from stretto.supervisor.questions import Inquiry
from stretto.supervisor.reasons import cancelled, unserved
from stretto.supervisor.records import Records
from stretto.supervisor.task_state import TaskState
from stretto.supervisor.timers import deadline_name
from stretto.supervisor.unfolding import End, Ground

__all__ = ["RunState", "evolve"]

_NAMED_IN_REASON: Final = 5


class RunState(NamedTuple):
    """One run, as far as its log is known.

    Attributes:
        facts: the log, in its order.
        request: the first request; it is the run.
        planned: the first decision that makes a plan or asks the planner for one.
        decision_seq: sequence of the last decision; 0 when there is none.
        answered: the first answer: the run is over.
        end: how it ends. Of what comes later in the log only the answer counts.
        course: the plan the run follows.
        records: what is recorded of its tasks.
        expansion: the tasks as far as the plan has unfolded.
        lap: since when the deployment's time limit counts: it begins anew when a question is settled.
        laps: how often it has begun anew.
    """

    facts: tuple[Fact, ...] = ()
    request: RequestAccepted | None = None
    planned: Decided | None = None
    decision_seq: int = 0
    answered: Answered | None = None
    end: End | None = None
    course: Course | None = None
    records: Records = Records()
    expansion: Expansion = Expansion()
    lap: Moment | None = None
    laps: int = 0

    @property
    def last_seq(self) -> int:
        """The highest sequence seen; 0 when there is none."""
        return self.facts[-1].seq if self.facts else 0

    @property
    def origin_seq(self) -> int:
        """Sequence of the request: readers of the run's log begin there. 0 when it is not known."""
        return self.request.seq if self.request else 0

    @property
    def is_over(self) -> bool:
        return self.answered is not None

    @property
    def tasks(self) -> tuple[TaskState, ...]:
        """All tasks of the run, the planner's first."""
        return (*(self.course.planning if self.course else ()), *self.expansion.tasks)

    @property
    def in_progress(self) -> list[TaskState]:
        """The tasks that are due, delayed or parked."""
        if self.course is not None and self.course.shape is None:
            return [task for task in self.course.planning if task.in_progress]
        return self.expansion.in_progress

    @property
    def waits_for_people(self) -> bool:
        """Whether the run waits for people alone."""
        if self.expansion.steps:
            return self.expansion.waits_for_people
        tasks = self.in_progress
        return bool(tasks) and all(task.status == "parked" for task in tasks)

    @property
    def deadline_timer(self) -> str:
        """The timer that ends the run now: a limit of its own never begins anew."""
        return deadline_name(self.laps if self.own_limit_s is None else 0)

    @property
    def own_limit_s(self) -> float | None:
        """The limit that the request or the run's budget sets, in seconds from the request: it never begins anew."""
        limits_s = (
            self.request.request.deadline_s if self.request else None,
            self.course.budget.seconds if self.course and self.course.budget else None,
        )
        return min((one for one in limits_s if one is not None), default=None)

    @property
    def open_questions(self) -> tuple[Inquiry, ...]:
        """What people are asked and have not decided."""
        return tuple(one for task in self.in_progress for one in task.open) if self.end is None else ()


def evolve(state: RunState, fact: Fact) -> RunState:
    """`state` with `fact` in it. Folding the same fact again changes nothing, and the order of facts does not matter."""
    if fact.seq > state.last_seq:
        return _follow(state, fact)
    place = bisect_left(state.facts, fact.seq, key=lambda one: one.seq)
    if state.facts[place].seq == fact.seq:
        return state
    return reduce(_follow, (*state.facts[:place], fact, *state.facts[place:]), RunState())


def _follow(state: RunState, fact: Fact) -> RunState:
    """The state one fact further on."""
    state = state._replace(facts=(*state.facts, fact))
    match fact:
        case Answered():
            return state._replace(answered=state.answered or fact)
        case Decided(decision=decision):
            state = state._replace(decision_seq=fact.seq)
            return state if state.end else _decided(state, fact, decision)
        case _ if state.end is not None:
            return state
        case RequestAccepted():
            return state if state.request else _plan(state._replace(request=fact, lap=fact.moment))
        case ResultRecorded(result=result):
            records = state.records.with_result(fact)
            return _record(state, fact, records, result.task)
        case Asked(question=question):
            return _record(state, fact, state.records.with_question(fact), question.task)
        case CommandGiven(command=command):
            if command.verb == "cancel":
                return state._replace(end=End("cancelled", cancelled(fact)))
            return _settle(state, fact, command.question or "")
        case TimerFired():
            return _fired(state, fact)
        case _:
            assert_never(fact)


def _decided(state: RunState, fact: Decided, decision: Decision) -> RunState:
    for event in decision.events:
        match event:
            case PlanMade() | PlanningAsked():
                if state.planned is None:
                    state = _plan(state._replace(planned=fact))
            case RunRejected(reason=reason, retry_in_s=retry_in_s):
                state = state._replace(end=state.end or End("rejected", reason, retry_in_s=retry_in_s))
            case RoleUnserved():
                state = state._replace(end=state.end or End("failed", unserved(event)))
    return state


def _plan(state: RunState) -> RunState:
    """The state with the course that it has as far as the plan is known."""
    if state.request is None or state.planned is None:
        return state
    for event in state.planned.decision.events:
        if isinstance(event, PlanMade | PlanningAsked):
            course = set_course(event, state.planned.moment, state.request, state.records)
            state = state._replace(course=course, end=End("failed", course.problem) if course.problem else state.end)
            ground = _ground(state)
            if ground is None:
                return state
            expansion = expand(ground)
            return state._replace(expansion=expansion, end=state.end or expansion.end)
    return state


def _ground(state: RunState) -> Ground | None:
    course = state.course
    if state.request is None or course is None or course.shape is None:
        return None
    return Ground(course.shape, course.since, state.request.request, state.records, course.retries)


def _record(state: RunState, fact: Fact, records: Records, task_id: str, *, settled: bool = False) -> RunState:
    """The state with other records of the task `task_id`."""
    if records is state.records:
        return state
    parked = bool(records.inquiries) and state.waits_for_people
    state = state._replace(records=records)
    ground = _ground(state)
    if ground is None:
        state = _plan(state)
    else:
        expansion = advance(state.expansion, ground, ground.shape.positions_of(task_id))
        state = state._replace(expansion=expansion, end=expansion.end)
    if settled or (parked and not state.waits_for_people):
        return state._replace(lap=fact.moment, laps=state.laps + 1)
    return state


def _settle(state: RunState, fact: CommandGiven | TimerFired, question: str) -> RunState:
    """The state after what may settle this question; if it is not open, that counts for nothing."""
    for inquiry in state.open_questions:
        if inquiry.question.id == question:
            settled = inquiry.settle(fact)
            if settled is not inquiry:
                return _record(state, fact, state.records.with_settled(settled), inquiry.question.task, settled=True)
    return state


def _fired(state: RunState, fact: TimerFired) -> RunState:
    if state.request is not None and fact.name == state.deadline_timer:
        # The deployment's limit does not run while only people are waited for.
        if state.own_limit_s is None and state.waits_for_people:
            return state
        return state._replace(end=End("failed", _waited_for(state), overdue=True))
    for task in state.in_progress:
        if task.retry is not None and task.retry.name == fact.name:
            return _record(state, fact, state.records.with_timer(fact), task.id)
    return _settle(state, fact, fact.name)


def _waited_for(state: RunState) -> str:
    """What the run waits for, people included."""
    if state.planned is None:
        return "a plan"
    tasks = state.in_progress
    names = [_named(task) for task in tasks[:_NAMED_IN_REASON]]
    if len(tasks) > len(names):
        names.append(f"{len(tasks) - len(names)} more")
    return ", ".join(names) or "the supervisor"


def _named(task: TaskState) -> str:
    match task.status:
        case "parked":
            asked = "; ".join(one.question.text for one in task.open)
            return f"a person to answer {task.id} ({task.role}): {asked}"
        case "delayed":
            return f"the next try at {task.id} ({task.role})"
        case _:
            return f"{task.id} ({task.role})"
