"""A model's plan: checked, repaired twice at the most, else the fallback."""

from pydantic import JsonValue

from stretto.shared.contracts.decision import PlanningAsked
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.task import TaskFailure, TaskResult
from tests.unit.supervisor_world import ROLES, World

FALLBACK = Plan(playbook="brief", tasks=(PlannedTask(id="t0", role="worker"),), answer="t0")
GOOD: dict[str, JsonValue] = {"reason": "simple", "tasks": [{"id": "only", "role": "worker"}], "answer": "only"}
BAD: dict[str, JsonValue] = {"tasks": [{"id": "only", "role": "wizard"}], "answer": "only"}
UNKNOWN_ROLE = "task only has the unknown role 'wizard': known are escalation, reviewer, senior, worker"


def asked() -> World:
    world = World()
    world.ask()
    world.commit(PlanningAsked(roles=tuple(ROLES.values()), fallback=FALLBACK))
    return world


def propose(world: World, proposal: dict[str, JsonValue]) -> None:
    (due,) = world.orders().due
    world.record(TaskResult(task=due.task, attempt=due.attempt, role="planner", agent="p", output=proposal))


def plan_of(world: World) -> Plan:
    assert world.state.course is not None
    assert world.state.course.shape is not None
    return world.state.course.shape.plan


def test_the_planner_is_given_the_request_and_the_roles() -> None:
    (due,) = asked().orders().due
    assert (due.task, due.role) == ("plan", "planner")
    assert due.input["request"] == "what?"
    assert due.input["problems"] == []
    assert isinstance(due.input["roles"], list)
    assert len(due.input["roles"]) == len(ROLES)


def test_a_good_proposal_becomes_the_plan() -> None:
    world = asked()
    propose(world, GOOD)
    assert [due.task for due in world.orders().due] == ["only"]
    assert (plan_of(world).origin, plan_of(world).playbook, plan_of(world).reason) == ("planner", "planner", "simple")


def test_a_bad_proposal_goes_back_with_its_problems() -> None:
    world = asked()
    propose(world, BAD)
    (due,) = world.orders().due
    assert due.task == "plan-2"
    assert due.input["problems"] == [UNKNOWN_ROLE]
    assert due.input["previous"] == BAD
    propose(world, GOOD)
    assert plan_of(world).origin == "planner"


def test_after_two_repairs_the_fallback_is_the_plan() -> None:
    world = asked()
    for _ in range(3):
        propose(world, BAD)
    assert [due.task for due in world.orders().due] == ["t0"]
    assert (plan_of(world).origin, plan_of(world).playbook) == ("fallback", "brief")
    assert plan_of(world).reason == f"the planner made no usable plan: {UNKNOWN_ROLE}"


def test_a_planner_that_fails_leaves_the_fallback() -> None:
    world = asked()
    failure = TaskFailure(kind="misconfigured", error="NoKey", message="set a key")
    world.record(TaskResult(task="plan", attempt=1, role="planner", agent="p", failure=failure))
    assert plan_of(world).origin == "fallback"
    assert "set a key" in plan_of(world).reason


def test_what_is_no_proposal_at_all_goes_back_too() -> None:
    world = asked()
    propose(world, {"tasks": "none"})
    (due,) = world.orders().due
    assert due.task == "plan-2"
    assert due.input["problems"]


def test_a_plan_may_not_use_the_planner_itself() -> None:
    world = World()
    world.ask()
    offers = (*ROLES.values(), ROLES["worker"].model_copy(update={"role": "planner"}))
    world.commit(PlanningAsked(roles=offers, fallback=FALLBACK))
    propose(world, {"tasks": [{"id": "again", "role": "planner"}], "answer": "again"})
    assert world.orders().due[0].task == "plan-2"


def test_the_planners_work_is_in_the_answer() -> None:
    world = asked()
    propose(world, GOOD)
    world.record(TaskResult(task="only", attempt=1, role="worker", agent="w", output={"text": "done"}))
    answer = world.orders().answer
    assert answer is not None
    assert [report.task for report in answer.tasks] == ["plan", "only"]
    assert answer.text == "done"


def test_a_run_cancelled_while_it_is_planned_does_not_count_later_proposals() -> None:
    world = asked()
    world.cancel()
    before = world.orders()
    world.record(TaskResult(task="plan", attempt=1, role="planner", agent="p", output=GOOD))
    assert world.orders() == before
    assert before.answer is not None
    assert before.answer.state == "cancelled"
