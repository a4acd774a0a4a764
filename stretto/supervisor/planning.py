"""Course: the plan that a run follows, and how the planner agent's proposals become one."""

from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue, ValidationError

from stretto.shared.contracts.decision import PlanMade, PlanningAsked
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.proposal import PlanProposal
from stretto.shared.contracts.request import Request
from stretto.supervisor.errors import PlanUnusable
from stretto.supervisor.facts import Moment
from stretto.supervisor.plan_check import PROPOSAL_BOUNDS, check_plan
from stretto.supervisor.roles import PLANNER
from stretto.supervisor.shape import PlanShape
from stretto.supervisor.sources import Resolution
from stretto.supervisor.task_state import Results, TaskState, follow_task

__all__ = ["Course", "set_course"]

_PLANNING_TASKS: Final = ("plan", "plan-2", "plan-3")


@dataclass(frozen=True, slots=True)
class Course:
    """What a run follows.

    Attributes:
        since: from when on; while the planner works, since when it was asked.
        shape: the plan; None while the planner works on it, or when `problem` says why it cannot be followed.
        planning: the planner's own tasks.
    """

    since: Moment
    shape: PlanShape | None = None
    planning: tuple[TaskState, ...] = ()
    problem: str = ""


def set_course(
    event: PlanMade | PlanningAsked, since: Moment, request: Request, results: Results, until: int
) -> Course:
    """The course that follows from the decision and from the results up to sequence `until`."""
    match event:
        case PlanMade(plan=plan):
            return _follow(plan, since, ())
        case PlanningAsked():
            return _planned(event, since, request, results, until)


def _follow(plan: Plan, since: Moment, planning: tuple[TaskState, ...]) -> Course:
    try:
        return Course(since, PlanShape.of(plan), planning)
    except PlanUnusable as error:
        return Course(since, None, planning, f"the plan cannot be followed: {error}")


def _planned(asked: PlanningAsked, since: Moment, request: Request, results: Results, until: int) -> Course:
    offers = tuple(offer for offer in asked.roles if offer.role != PLANNER)
    asking: dict[str, JsonValue] = {
        "request": request.text,
        "roles": [offer.model_dump(mode="json") for offer in offers],
        "problems": [],
    }
    planning: list[TaskState] = []
    problems: tuple[str, ...] = ()
    moment = since
    for task_id in _PLANNING_TASKS:
        planned = PlannedTask(id=task_id, role=PLANNER)
        task = follow_task(task_id, planned, Resolution(moment, dict(asking)), results, until=until)
        planning.append(task)
        moment = task.moment or moment
        if task.status == "failed":
            return _fall_back(asked.fallback, moment, planning, task.problem)
        if task.done is None:
            return Course(since, None, tuple(planning))
        plan, problems = _read(task.done.output, asked)
        if plan is not None:
            return _follow(plan, moment, tuple(planning))
        asking |= {"problems": list(problems), "previous": task.done.output}
    return _fall_back(asked.fallback, moment, planning, "; ".join(problems))


def _read(output: dict[str, JsonValue], asked: PlanningAsked) -> tuple[Plan | None, tuple[str, ...]]:
    try:
        proposal = PlanProposal.model_validate(output)
    except ValidationError as error:
        return None, tuple(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    offers = {offer.role: offer for offer in asked.roles if offer.role != PLANNER}
    problems = check_plan(proposal.tasks, proposal.answer, offers, PROPOSAL_BOUNDS)
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


def _fall_back(fallback: Plan, since: Moment, planning: list[TaskState], why: str) -> Course:
    plan = fallback.model_copy(update={"origin": "fallback", "reason": f"the planner made no usable plan: {why}"})
    return _follow(plan, since, tuple(planning))
