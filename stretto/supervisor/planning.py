"""Course: the plan that a run follows, and how the planner agent's proposals become one."""

from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue, ValidationError

from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.conversation import Conversation
from stretto.shared.contracts.decision import PlanMade, PlanningAsked
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.proposal import PlanProposal
from stretto.supervisor.errors import PlanUnusable
from stretto.supervisor.facts import Moment, RequestAccepted
from stretto.supervisor.plan_check import PROPOSAL_BOUNDS, check_plan
from stretto.supervisor.reasons import too_many_tasks
from stretto.supervisor.records import Records
from stretto.supervisor.retries import Retries
from stretto.supervisor.roles import PLANNER
from stretto.supervisor.shape import PlanShape
from stretto.supervisor.sources import Resolution
from stretto.supervisor.task_state import TaskState, follow_task

__all__ = ["Course", "set_course"]

_PLANNING_TASKS: Final = ("plan", "plan-2", "plan-3")


@dataclass(frozen=True, slots=True)
class Course:
    """What a run follows.

    Attributes:
        since: from when on; while the planner works, since when it was asked.
        retries: which failures are tried again, and when.
        budget: what the run may take.
        conversation: what was said before it.
        shape: the plan; None while the planner works on it, or when `problem` says why it cannot be followed.
        planning: the planner's own tasks.
    """

    since: Moment
    retries: Retries
    budget: Budget | None = None
    shape: PlanShape | None = None
    planning: tuple[TaskState, ...] = ()
    conversation: Conversation | None = None
    problem: str = ""


def set_course(event: PlanMade | PlanningAsked, since: Moment, request: RequestAccepted, records: Records) -> Course:
    """The course that follows from the decision and from what is recorded of the planner's tasks."""
    # The request's place in the log tells runs apart, and is known to all who read it.
    retries = Retries(event.retries, seed=str(request.seq))
    course = Course(since, retries, event.budget, conversation=event.conversation)
    match event:
        case PlanMade(plan=plan):
            return _follow(plan, course)
        case PlanningAsked():
            return _planned(event, course, request.request.text, records)


def _follow(plan: Plan, course: Course) -> Course:
    if problem := too_many_tasks(plan, course.budget):
        return replace(course, problem=problem)
    try:
        return replace(course, shape=PlanShape.of(plan))
    except PlanUnusable as error:
        return replace(course, problem=f"the plan cannot be followed: {error}")


def _planned(asked: PlanningAsked, course: Course, request: str, records: Records) -> Course:
    offers = tuple(offer for offer in asked.roles if offer.role != PLANNER)
    asking: dict[str, JsonValue] = {
        "request": request,
        "roles": [offer.model_dump(mode="json") for offer in offers],
        "problems": [],
    }
    problems: tuple[str, ...] = ()
    moment = course.since
    for task_id in _PLANNING_TASKS:
        planned = PlannedTask(id=task_id, role=PLANNER)
        task = follow_task(task_id, planned, Resolution(moment, dict(asking)), records, course.retries)
        course = replace(course, planning=(*course.planning, task))
        moment = task.moment or moment
        if task.status == "failed":
            return _fall_back(asked.fallback, replace(course, since=moment), task.problem)
        if task.done is None:
            return course
        plan, problems = _read(task.done.output, asked)
        if plan is not None:
            return _follow(plan, replace(course, since=moment))
        asking |= {"problems": list(problems), "previous": task.done.output}
    return _fall_back(asked.fallback, replace(course, since=moment), "; ".join(problems))


def _read(output: dict[str, JsonValue], asked: PlanningAsked) -> tuple[Plan | None, tuple[str, ...]]:
    try:
        proposal = PlanProposal.model_validate(output)
    except ValidationError as error:
        return None, tuple(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    offers = {offer.role: offer for offer in asked.roles if offer.role != PLANNER}
    bounds = PROPOSAL_BOUNDS
    if asked.budget is not None and asked.budget.tasks is not None:
        bounds = replace(bounds, tasks=min(bounds.tasks, asked.budget.tasks))
    problems = check_plan(proposal.tasks, proposal.answer, offers, bounds)
    if problems:
        return None, tuple(str(problem) for problem in problems)
    plan = Plan(
        playbook=PLANNER,
        origin="planner",
        reason=proposal.reason,
        tasks=proposal.tasks,
        answer=proposal.answer,
    )
    return plan, ()


def _fall_back(fallback: Plan, course: Course, why: str) -> Course:
    plan = fallback.model_copy(update={"origin": "fallback", "reason": f"the planner made no usable plan: {why}"})
    return _follow(plan, course)
