"""by_model: each model's part of what an attempt took, whether it answered, was passed over, or failed."""

from collections.abc import Sequence

import pytest
from pydantic import BaseModel

from stretto.bus.effect_failure import EffectFailure
from stretto.bus.step import Step
from stretto.shared.contracts.step import ModelOutcome, by_model_of, usage_of
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.errors import BadReply, ModelError, ScriptMismatch
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from stretto.shared.money.errors import BudgetSpent, MoneyError

FIRST = Usage(model_calls=2, input_tokens=100, output_tokens=10, cost_usd=0.5)
SECOND = Usage(model_calls=1, input_tokens=40, output_tokens=20, cost_usd=0.25)


class Line(BaseModel):
    text: str


class Told:
    """Replies that sure, or fails so; either way it takes `usage`."""

    def __init__(self, name: str, usage: Usage, does: float | ModelError | MoneyError) -> None:
        self.name = name
        self._usage = usage
        self._does = does

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
        if isinstance(self._does, Exception):
            self._does.usage = self._usage
            raise self._does
        output = output_type.model_validate({"text": self.name})
        return Reply(output=output, model=self.name, usage=self._usage, confidence=self._does)


async def step_of(*models: Told) -> Step:
    """What is recorded of a question to a chain of these models."""
    chain = ModelChain(
        [model.name for model in models],
        open_model={model.name: model for model in models}.__getitem__,
        breakers=Breakers(),
        confidence=0.5,
    )
    step = Step(position=0, kind="model", name="Line", digest="0" * 64)
    try:
        reply = await chain.generate(Line, instructions="say something")
    except (ModelError, MoneyError) as error:
        failed = step.model_copy(update={"end": "failed", "failure": EffectFailure.of(error)})
        return Step.model_validate_json(failed.model_dump_json())
    outcome = ModelOutcome(output=reply.output.model_dump(), model=reply.model, usage=reply.usage, hops=reply.hops)
    return step.model_copy(update={"output": outcome.model_dump(mode="json")})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (BadReply("unfit"), 0.9),  # the second one answered
        (0.1, 0.9),  # the first one was not sure enough
        (0.4, 0.2),  # neither was, and the first one was surer
        (BadReply("unfit"), 0.2),
        (BadReply("unfit"), BadReply("unfit too")),
        (BadReply("unfit"), BudgetSpent("no more")),
        (0.1, ScriptMismatch("another line")),
    ],
)
async def test_each_models_part_is_told_and_the_parts_are_the_whole(
    first: float | ModelError, second: float | ModelError | MoneyError
) -> None:
    step = await step_of(Told("a:1", FIRST, first), Told("b:1", SECOND, second))
    assert by_model_of([step]) == {"a:1": FIRST, "b:1": SECOND}
    assert usage_of([step]) == FIRST + SECOND


async def test_steps_add_up_and_what_cost_nothing_is_left_out() -> None:
    answered = await step_of(Told("a:1", FIRST, 0.9))
    silent = await step_of(Told("c:1", Usage(), BadReply("unfit")), Told("a:1", FIRST, 0.9))
    alone = await step_of(Told("b:1", SECOND, BadReply("unfit")))
    tool = Step(position=9, kind="tool", name="fetch", digest="0" * 64)
    assert by_model_of([answered, silent, alone, tool]) == {"a:1": FIRST + FIRST, "b:1": SECOND}
