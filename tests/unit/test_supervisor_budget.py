"""A run's budget: the smallest of what the request, the playbook and the deployment allow, committed with the plan and handed to tasks."""

from datetime import timedelta
from pathlib import Path

import pytest

from stretto.shared.contracts.budget import Budget, tightest
from stretto.shared.contracts.decision import PlanMade, PlanningAsked, RunRejected
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.request import Request
from stretto.supervisor.choose import Chooser
from stretto.supervisor.decide import TimerOrder
from stretto.supervisor.errors import PlaybookError
from stretto.supervisor.playbooks import Playbooks
from stretto.supervisor.router import Router
from tests.unit.supervisor_world import ROLES, World, at
from tests.unit.test_supervisor_deadlines import ended
from tests.unit.test_supervisor_planning import FALLBACK, GOOD, plan_of, propose
from tests.unit.test_supervisor_questions import ONE, approved, asks

CHEAP = """\
name: cheap
description: Answers for little money.
budget: {usd: 0.25, tokens: 1000, at_edge: finish}
tasks:
  - {id: find, role: researcher}
  - {id: draft, role: writer, inputs: {findings: find}}
answer: draft
"""
TWO = (PlannedTask(id="a", role="worker"), PlannedTask(id="b", role="worker", inputs={"x": "a"}))


def chooser(folder: Path, budget: Budget | None = None) -> Chooser:
    (folder / "cheap.yaml").write_text(CHEAP, encoding="utf-8")
    playbooks = Playbooks.load([folder])
    return Chooser(playbooks=playbooks, router=Router(playbooks=playbooks), budget=budget)


def test_the_smallest_of_each_limit_holds_and_the_first_word_on_the_edge() -> None:
    budgets = (None, Budget(usd=1, tokens=5), Budget(usd=2, tokens=3, at_edge="ask"), Budget(seconds=9, at_edge="fail"))
    assert tightest(budgets) == Budget(usd=1, tokens=3, seconds=9, at_edge="ask")
    assert tightest((None, Budget())) is None


async def test_what_the_request_the_playbook_and_the_deployment_say_is_committed(tmp_path: Path) -> None:
    request = Request(text="why?", playbook="cheap", budget=Budget(usd=0.5, tokens=500))
    (event,) = await chooser(tmp_path, Budget(usd=3, tool_calls=7, at_edge="ask")).choose(request, ())
    assert isinstance(event, PlanMade)
    assert event.budget == Budget(usd=0.25, tokens=500, tool_calls=7, at_edge="finish")
    (event,) = await chooser(tmp_path, Budget(usd=3)).choose(Request(text="why?", playbook="planner"), ())
    assert isinstance(event, PlanningAsked)
    assert event.budget == Budget(usd=3)


async def test_a_plan_with_more_tasks_is_rejected(tmp_path: Path) -> None:
    request = Request(text="why?", playbook="cheap", budget=Budget(tasks=1))
    (event,) = await chooser(tmp_path).choose(request, ())
    assert event == RunRejected(reason="the plan cheap has 2 tasks, and the run's budget allows 1")


def test_a_budget_with_a_word_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(CHEAP.replace("usd", "dollars"), encoding="utf-8")
    with pytest.raises(PlaybookError, match=r"mine.yaml:3: unknown field: budget\.dollars"):
        Playbooks.load([tmp_path])


def test_the_planner_hears_that_its_proposal_has_too_many_tasks() -> None:
    world = World()
    world.ask()
    world.commit(PlanningAsked(roles=tuple(ROLES.values()), fallback=FALLBACK, budget=Budget(tasks=1)))
    propose(world, {"tasks": [task.model_dump(mode="json") for task in TWO], "answer": "b"})
    (due,) = world.orders().due
    assert due.input["problems"] == ["the plan has 2 tasks: 1 are allowed"]
    propose(world, GOOD)
    assert plan_of(world).origin == "planner"


def test_a_fallback_with_too_many_tasks_ends_the_run() -> None:
    world = World()
    world.ask()
    fallback = Plan(playbook="brief", tasks=TWO, answer="b")
    world.commit(PlanningAsked(roles=tuple(ROLES.values()), fallback=fallback, budget=Budget(tasks=1)))
    for _ in range(3):
        propose(world, {})
    assert ended(world).reason == "the plan brief has 2 tasks, and the run's budget allows 1"


@pytest.mark.parametrize(("deadline_s", "seconds", "holds"), [(None, 30, 30), (60, 30, 30), (20, 30, 20)])
def test_its_seconds_are_a_deadline_of_the_run_that_never_begins_anew(
    deadline_s: float | None, seconds: float, holds: float
) -> None:
    world = World()
    world.ask(Request(text="what?", deadline_s=deadline_s))
    world.commit(PlanMade(plan=ONE, budget=Budget(seconds=seconds)))
    world.put(asks())
    world.command(approved(asks()))
    assert world.orders().timers == (TimerOrder("deadline", at(1) + timedelta(seconds=holds)),)
    world.fire()
    assert ended(world).reason == f"not finished within {holds} s, waiting for one (worker)"
