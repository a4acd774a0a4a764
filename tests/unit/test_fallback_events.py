"""Events of fallbacks: a model that is passed over is told, by the kind of the reason; that the last one fails too is no fallback."""

import contextlib

import pytest
from pydantic import BaseModel

from stretto.agents.budgeted_model import BudgetedModel
from stretto.agents.edge import Edge
from stretto.bus import tracing
from stretto.shared.contracts.account import Unit
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.errors import BadReply, ModelError, ModelUnavailable
from stretto.shared.models.protocol import Grant, Model
from stretto.shared.models.scripted import ScriptedModel, ScriptLine
from stretto.shared.money.errors import BudgetSpent
from tests.spans import recording


class Made(BaseModel):
    text: str = ""


class NoPurse:
    async def for_model(self, model: str, *, input_tokens: int, output_tokens: int) -> Grant:
        raise NotImplementedError

    async def for_tool(self, name: str) -> Grant:
        raise NotImplementedError


async def no_more(unit: Unit, by: int, *, reason: str) -> None:
    raise NotImplementedError


async def fallbacks(model: Model) -> list[tuple[str, str]]:
    """The fallbacks of one call: model and reason."""
    with recording() as recorded, tracing.span("invoke_agent writer"), contextlib.suppress(ModelError):
        await model.generate(Made, instructions="Write.", question="canary")
    span = recorded.one("invoke_agent writer")
    assert all(one.name == "fallback" for one in span.events)
    told = [dict(one.attributes or {}) for one in span.events]
    return [(str(one["stretto.fallback.model"]), str(one["stretto.fallback.reason"])) for one in told]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (ModelUnavailable("canary"), Made(), [("first", "ModelUnavailable")]),
        (BadReply("canary"), ModelUnavailable("canary"), [("first", "BadReply")]),
        (Made(), ModelUnavailable("canary"), []),
    ],
    ids=["the first fails", "both fail", "none fails"],
)
async def test_a_chain_tells_whom_it_passes_over(
    first: Made | Exception, second: Made | Exception, expected: list[tuple[str, str]]
) -> None:
    models = {
        name: ScriptedModel([ScriptLine(Made, reply)], name=name)
        for name, reply in (("first", first), ("second", second))
    }
    chain = ModelChain(["first", "second"], open_model=models.__getitem__, breakers=Breakers())
    assert await fallbacks(chain) == expected


async def test_a_budget_that_is_used_up_is_a_fallback_too() -> None:
    edge = Edge("finish", raise_limit=no_more)
    edge.spent = BudgetSpent("the run's budget: canary", unit="usd")
    spare = ScriptedModel([ScriptLine(Made, Made())], name="spare")
    model = BudgetedModel(ScriptedModel([], name="dear"), purse=NoPurse(), edge=edge, spare=spare)
    assert await fallbacks(model) == [("dear", "budget")]
