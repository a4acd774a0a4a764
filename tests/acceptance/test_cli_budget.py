"""Budgets at the command line: what a run has spent of its own is shown, and what is no budget is refused before anything starts."""

import asyncio
from pathlib import Path

import pytest

from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.decision import Decision, PlanMade
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import RunTask
from stretto.shared.contracts.usage import Usage
from stretto.shared.money.books import Books
from tests.acceptance.command import Stretto
from tests.integration.ground import open_ground
from tests.integration.people import Runs
from tests.unit.spenders import FlatPrices

BUDGET = Budget(usd=0.5, tokens=9_000, tasks=4, at_edge="ask")


async def test_a_run_shows_what_is_spent_and_reserved(nats_url: str, prefix: str, tmp_path: Path) -> None:
    async with open_ground(nats_url, prefix, shards=4) as ground:
        runs, user = Runs(ground), Stretto(tmp_path).with_variables(nats_url=nats_url, prefix=prefix)
        await runs.client.submit(Request(text="why?", budget=BUDGET), run="r1")
        plan = Plan(playbook="mine", tasks=(PlannedTask(id="t1", role="writer"),), answer="t1")
        decision = Decision(events=(PlanMade(plan=plan, budget=BUDGET),))
        key = runs.client.key("r1")
        await runs.write("r1", ground.subjects.decision(key), decision)
        before = await asyncio.to_thread(user.run, "runs", "show", "r1")
        assert "budget: nothing of 0.5 USD, 9000 tokens spent; at most 4 tasks; when it is used up: ask" in before.err

        books = Books(
            connection=ground.connection,
            deployment=ground.deployment,
            wire=ground.wire,
            sender="w",
            prices=FlatPrices(),
        )
        async with books:
            task = RunTask(shard=key.shard, task="t1", attempt=1, role="writer", input={}, budget=BUDGET)
            purse = books.purse_of(TaskKey(key, "writer", "t1", 1), task)
            assert purse is not None
            done = await purse.for_model("flat", input_tokens=100, output_tokens=1_000)
            await done.settle(Usage(model_calls=1, input_tokens=100, output_tokens=200, cost_usd=0.25))
            await purse.for_model("flat", input_tokens=100, output_tokens=1_000)
            shown = await asyncio.to_thread(user.run, "runs", "show", "r1")
            data = (await asyncio.to_thread(user.run, "runs", "show", "r1", "--json")).data["budget"]
    assert (
        "budget: 0.25 USD of 0.50 USD spent, 0.0000021 USD reserved; 300 tokens of 9000 tokens spent, "
        "1100 tokens reserved; at most 4 tasks; when it is used up: ask"
    ) in shown.err
    assert (data["spent"]["nanos"], data["reserved"]["tokens"], data["calls_in_flight"]) == (250_000_000, 1_100, 1)


@pytest.mark.parametrize("words", [("--budget", "-1"), ("--budget", "much"), ("--at-edge", "beg"), ("--budget", "nan")])
def test_what_is_no_budget_is_refused_at_once(tmp_path: Path, words: tuple[str, ...]) -> None:
    ran = Stretto(tmp_path).run("ask", "why?", *words)
    assert ran.code == 2, ran.err
