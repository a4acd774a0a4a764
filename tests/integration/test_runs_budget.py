"""Budgets from a request to its answer: real supervisors, agents and people on a real server."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.request import Request
from stretto.shared.money.books import Books
from tests.integration.lives import Line
from tests.integration.test_agents_budget import PaidModel, Spare
from tests.integration.world import Given, Made, World, agent_of, open_world
from tests.unit.spenders import FlatPrices

FRUGAL = """
budget: {usd: 0.000004, at_edge: %s}
roles: {think: thinks}
tasks:
  - {id: first, role: think}
  - {id: second, role: think, inputs: {before: first}}
answer: second
"""
"""Enough for two calls of three."""


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    deployment = Deployment(subjects=Subjects(prefix), shards=1, run_lease_s=3.0, pin_s=1.5, task_lease_s=2.0)
    async with open_world(nats_url, deployment, tmp_path) as world:
        for at_edge in ("fail", "finish", "ask"):
            world.playbook(at_edge, FRUGAL % at_edge)
        books = Books(
            connection=world.connection, deployment=deployment, wire=world.wire, sender="w", prices=FlatPrices()
        )
        async with books:
            await world.supervise("s1")
            options: dict[str, Any] = {"purse_of": books.purse_of, "spare": Spare()}
            await world.serve(agent_of("think", think), "t1", PaidModel(), **options)
            yield world


async def think(task: Given, ctx: TaskContext) -> BaseModel:
    """Once in the first task, twice in the second."""
    said = [
        (await ctx.model.generate(Line, instructions="say", question=word)).output.text
        for word in ("a", "b")[: 1 if ctx.key.task == "first" else 2]
    ]
    return Made(text=" ".join(said))


async def test_a_run_that_spends_its_budget_fails_and_says_so(world: World) -> None:
    answer = await world.ask(playbook="fail")
    assert answer.state == "failed"
    assert answer.reason.startswith("task second (think) failed: the run's budget of 0.000004 USD is used up")
    assert round(answer.usage.cost_usd * 1e9) == 4_000


async def test_it_finishes_and_the_answer_says_how(world: World) -> None:
    answer = await world.ask(playbook="finish")
    assert (answer.state, answer.text) == ("completed", "a#2 b#1")
    assert answer.remarks == ("offline answered in place of flat: the run's budget of 0.000004 USD is used up.",)


async def test_a_person_gives_more(world: World) -> None:
    run = await world.client.submit(Request(text="why?", playbook="ask"))
    (question,) = await world.asked(run)
    assert question.text == "The run has spent 0.000004 USD of 0.000004 USD; approve 0.000004 USD more?"
    await world.settle(run, question, "approve")
    answer = await world.answer(run)
    assert (answer.state, answer.text) == ("completed", "a#2 b#3")
    assert answer.remarks == ("local approved 0.000004 USD more than the run's budget.",)


async def test_what_the_request_allows_holds_where_it_is_less(world: World) -> None:
    answer = await world.ask(playbook="finish", budget=Budget(model_calls=1, at_edge="fail"))
    assert answer.reason.startswith("task second (think) failed: the run's budget of 1 model call is used up")
    answer = await world.ask(playbook="finish", budget=Budget(tasks=1))
    assert (answer.state, answer.reason) == (
        "rejected",
        "the plan finish has 2 tasks, and the run's budget allows 1",
    )
