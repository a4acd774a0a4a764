"""What an attempt does when its budget is used up, and that a handler which is run again comes the same way."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from stretto.agents.context import TaskContext
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.account import Account
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from stretto.shared.money.books import Books
from stretto.shared.money.ledger_log import LedgerLog
from stretto.shared.tools.errors import ToolForbidden
from tests.integration.crew import ROLE, Crew
from tests.integration.ground import Ground, open_ground
from tests.integration.lives import CountingModel, FakeTool, Lives, say, steps_of
from tests.integration.test_agents_stops import asked, idle
from tests.unit.agent_world import settle
from tests.unit.spenders import Flat, FlatPrices

TWO_CALLS = 4_000
"""Nano-dollars that pay two calls of the paid model, and not three."""


class PaidModel(CountingModel):
    """As a provider's: it reserves each request, and settles it."""

    name = "flat"

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        assert purse is not None
        grant = await purse.for_model(self.name, input_tokens=100, output_tokens=950)
        usage = Usage(model_calls=1, input_tokens=100, output_tokens=950)
        usage = usage.model_copy(update={"cost_usd": Flat().cost_usd(usage)})
        reply = await super().generate(output_type, instructions=instructions, question=question)
        await grant.settle(usage)
        return Reply(reply.output, self.name, usage)


class Spare(CountingModel):
    name = "offline"


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, task_lease_s=1.5) as ground:
        await ground.queue.provision(ROLE)
        yield ground


@pytest.fixture
async def crew(ground: Ground) -> AsyncGenerator[Crew]:
    crew = Crew(ground)
    yield crew
    await crew.dismiss()


@pytest.fixture
async def serve(ground: Ground) -> AsyncGenerator[dict[str, Any]]:
    """How a worker is served that keeps to budgets."""
    books = Books(
        connection=ground.connection,
        deployment=ground.deployment,
        wire=ground.wire,
        sender="w",
        prices=FlatPrices(),
    )
    async with books:
        yield {"model": PaidModel(), "spare": Spare(), "purse_of": books.purse_of}


async def thrice(ctx: TaskContext, lives: Lives) -> str:
    """Asks the model three times; in its first life it stops before the end."""
    said = [await say(ctx, question) for question in ("one", "two", "three")]
    await lives.linger()
    return " ".join(said)


async def account_of(ground: Ground) -> tuple[Account, int]:
    log = LedgerLog(
        connection=ground.connection,
        subjects=ground.subjects,
        wire=ground.wire,
        tenant="default",
        account="run",
        name="r1",
        sender="test",
    )
    return await log.load()


def budget(at_edge: str | None = None) -> dict[str, Any]:
    return Budget.model_validate({"usd": TWO_CALLS / 1e9, "at_edge": at_edge}).model_dump()


async def text_of(crew: Crew, key: TaskKey) -> str:
    result = await crew.result(key)
    assert result.output is not None, result.failure
    return str(result.output["text"])


async def test_by_default_the_attempt_fails_for_good_and_says_why(crew: Crew, serve: dict[str, Any]) -> None:
    key = crew.key()
    await Lives(crew, thrice, **serve).begin()
    await crew.put(key, budget=budget())
    failure = await crew.failure(key)
    assert (failure.kind, failure.error) == ("permanent", "BudgetSpent")
    assert failure.message == (
        "the run's budget of 0.000004 USD is used up: 0.000004 USD spent, 0.00 USD left, "
        "and a call of flat needs at least 0.000001124 USD"
    )


async def test_it_finishes_with_the_spare_model_and_says_so(crew: Crew, serve: dict[str, Any]) -> None:
    key, lives = crew.key(), Lives(crew, thrice, **serve)
    await lives.begin()
    await crew.put(key, budget=budget("finish"))
    await lives.arrived()
    _, written = await account_of(crew.ground)
    await lives.begin()
    assert await text_of(crew, key) == "one#1 two#2 three#1", "the third by the spare model"
    result = await crew.result(key)
    assert result.remarks == ("offline answered in place of flat: the run's budget of 0.000004 USD is used up.",)
    assert result.models == ("flat", "offline")
    assert (serve["model"].asked, serve["spare"].asked) == (["one", "two"], ["three"]), "nothing is asked twice"
    account, seq = await account_of(crew.ground)
    assert seq == written, "what is on record touches no ledger"
    assert account.spent.nanos == TWO_CALLS == round(result.usage.cost_usd * 1e9)


async def test_where_calls_of_tools_are_used_up_it_finishes_without(crew: Crew, serve: dict[str, Any]) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        await ctx.tools.call("look")
        with pytest.raises(ToolForbidden, match="the run's budget of 1 tool call is used up"):
            await ctx.tools.call("look", {"again": True})
        said = await say(ctx, "one")
        await lives.linger()
        return said

    key, tool = crew.key(), FakeTool("look", "none")
    lives = Lives(crew, handle, tools=[tool], **serve)
    await lives.begin()
    await crew.put(key, budget=Budget(tool_calls=1, at_edge="finish").model_dump())
    await lives.arrived()
    await lives.begin()
    assert await text_of(crew, key) == "one#1"
    assert (len(tool.keys), serve["model"].asked, serve["spare"].asked) == (1, [], ["one"])


async def test_branches_side_by_side_finish_too(crew: Crew, serve: dict[str, Any]) -> None:
    async def branches(ctx: TaskContext, lives: Lives) -> str:
        said = await asyncio.gather(*(say(ctx, str(number)) for number in range(6)))
        await lives.linger()
        return str(len(said))

    key, lives = crew.key(), Lives(crew, branches, **serve)
    await lives.begin()
    await crew.put(key, budget=budget("finish"))
    await lives.arrived()
    await lives.begin()
    assert await text_of(crew, key) == "6"
    assert (len(serve["model"].asked), len(serve["spare"].asked)) == (2, 4)


async def test_a_person_is_asked_for_more_and_the_run_goes_on(crew: Crew, serve: dict[str, Any]) -> None:
    key, lives = crew.key(), Lives(crew, thrice, **serve)
    await lives.begin()
    await crew.put(key, budget=budget("ask"))
    question = await asked(crew, key, 3)
    assert question.kind == "approval"
    assert question.text == "The run has spent 0.000004 USD of 0.000004 USD; approve 0.000004 USD more?"
    await idle(crew)
    settled = settle(question, "approved")
    await crew.ground.queue.put(key, crew.task(key, budget=budget("ask"), settled=[settled]), resumption=1)
    await lives.arrived()
    await lives.begin()
    assert await text_of(crew, key) == "one#1 two#2 three#3"
    account, _ = await account_of(crew.ground)
    assert (account.limit("nanos"), account.spent.nanos, len(account.raises)) == (8_000, 6_000, 1)
    kinds = [(step.kind, step.end) for step in await steps_of(crew.ground, key)]
    assert kinds == [("model", "done")] * 2 + [
        ("model", "failed"),
        ("ask", "done"),
        ("step", "done"),
        ("model", "done"),
    ]


async def test_a_person_who_says_no_ends_it(crew: Crew, serve: dict[str, Any]) -> None:
    key = crew.key()
    await Lives(crew, thrice, **serve).begin()
    await crew.put(key, budget=budget("ask"))
    question = await asked(crew, key, 3)
    await idle(crew)
    settled = settle(question, "rejected", "too dear")
    await crew.ground.queue.put(key, crew.task(key, budget=budget("ask"), settled=[settled]), resumption=1)
    failure = await crew.failure(key)
    assert (failure.kind, failure.error) == ("permanent", "BudgetSpent")
    assert failure.message.endswith("; ann does not approve 0.000004 USD more: too dear")


async def test_without_a_budget_there_is_no_purse(crew: Crew, serve: dict[str, Any]) -> None:
    async def once(ctx: TaskContext, lives: Lives) -> str:
        return await say(ctx, "one")

    key = crew.key()
    await Lives(crew, once, **(serve | {"model": CountingModel()})).begin()
    await crew.put(key)
    assert await text_of(crew, key) == "one#1"
    assert await crew.ground.depth(crew.ground.subjects.stream("LEDGERS")) == 0
