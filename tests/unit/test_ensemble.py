"""EnsembleModel: several models are asked the same, each once, and one reply is taken."""

import asyncio
from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from stretto.agents.ensemble import Pick
from stretto.agents.errors import TaskMisconfigured, ToolRoundsSpent
from stretto.agents.panel import Panel, no_panel
from stretto.agents.remarks import remarks_of
from stretto.shared.contracts.ensemble import Ensemble
from stretto.shared.contracts.step import ModelOutcome, models_of, usage_of
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import BadReply, ModelUnavailable, RateLimited, Refused
from stretto.shared.models.protocol import Document, Model, OnText, Output, Purse, Reply, ToolCall
from stretto.shared.models.scripted import ScriptedModel, ScriptLine
from stretto.shared.money.errors import BudgetSpent
from stretto.shared.tools.function import tool
from tests.unit.agent_world import ListedSteps, surroundings

ONE = Usage(model_calls=1, output_tokens=5)


class Line(BaseModel):
    text: str
    confidence: float = 0.5


class Says:
    """Says that, as sure as that, or raises it; keeps what it was given."""

    def __init__(self, name: str, does: str | int | Exception, confidence: float | None = None) -> None:
        self.name = name
        self._does = does
        self._confidence = confidence
        self.instructions: list[str] = []
        self.documents: Sequence[Document] = ()

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
        self.instructions.append(instructions)
        self.documents = documents
        if isinstance(self._does, Exception):
            raise self._does
        fields: dict[str, object] = {"text": self._does, "confidence": self._confidence or 0.5}
        if output_type is Pick:
            fields = {"number": self._does, "reason": "it says more"}
        return Reply(output=output_type.model_validate(fields), model=self.name, usage=ONE, confidence=self._confidence)


NOBODY = Says("judge:1", ModelUnavailable("not asked"))


async def ask(
    *models: Model,
    choose: Literal["vote", "best_of"] = "vote",
    judge: Model = NOBODY,
    steps: ListedSteps | None = None,
) -> Reply[Line]:
    context = surroundings(NOBODY, panel=Panel(models, judge, choose), steps=steps)
    return await context.model.generate(Line, instructions="say a word", question="which?", documents=["a text"])


async def test_what_most_of_them_say_is_taken_however_sure_they_are() -> None:
    reply = await ask(Says("a:1", "no", 0.99), Says("b:1", "yes", 0.2), Says("c:1", "yes", 0.3))
    assert (reply.output.text, reply.model, reply.confidence) == ("yes", "c:1", 0.3)
    assert reply.usage == ONE + ONE + ONE


async def test_of_several_the_surest_wins_then_the_first() -> None:
    assert (await ask(Says("a:1", "no", 0.4), Says("b:1", "yes", 0.6))).model == "b:1"
    assert (await ask(Says("a:1", "no"), Says("b:1", "yes", 0.0))).model == "b:1"
    assert (await ask(Says("a:1", "no"), Says("b:1", "yes"))).model == "a:1"


async def test_one_that_fails_does_not_fail_the_others_and_is_told_of() -> None:
    steps = ListedSteps()
    slow = RateLimited("a:1: HTTP 429", retry_after_s=9, usage=ONE)
    reply = await ask(Says("a:1", slow), Says("b:1", "yes"), Says("c:1", "yes"), steps=steps)
    assert (reply.output.text, reply.usage) == ("yes", ONE + ONE + ONE)
    recorded = [step for _, step in sorted(steps.steps.items())]
    assert [(step.name, step.end) for step in recorded] == [
        ("Line", "failed"),
        ("Line", "done"),
        ("Line", "done"),
        ("vote Line", "done"),
    ]
    assert ModelOutcome.model_validate(recorded[-1].output).text == "said by 2 of 2"
    assert usage_of(recorded) == reply.usage
    assert models_of(recorded) == ("b:1", "c:1")
    assert remarks_of(recorded) == ("b:1 answered in place of a:1: it takes no more requests for now.",)


async def test_when_all_fail_the_error_names_each_and_may_be_tried_again() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await ask(Says("a:1", RateLimited("slower", retry_after_s=9, usage=ONE)), Says("b:1", Refused("no", usage=ONE)))
    assert str(caught.value) == "none of 2 models gave a reply: a:1: RateLimited: slower; b:1: Refused: no"
    assert caught.value.retry_after_s == 9
    assert caught.value.usage == ONE + ONE


async def test_a_budget_that_is_spent_ends_it() -> None:
    with pytest.raises(BudgetSpent):
        await ask(Says("a:1", "yes"), Says("b:1", BudgetSpent("nothing is left")))


async def test_the_judge_sees_all_candidates_as_data_and_its_pick_is_taken() -> None:
    judge = Says("judge:1", 2)
    reply = await ask(Says("a:1", "no", 0.9), Says("b:1", "yes", 0.1), choose="best_of", judge=judge)
    assert (reply.model, reply.output.text, reply.hops) == ("b:1", "yes", ())
    assert [one.id for one in judge.documents] == ["text-0", "candidate-1", "candidate-2"]
    assert judge.documents[2].text == '{"text": "yes"}'
    assert "say a word" in judge.instructions[0]
    assert "yes" not in judge.instructions[0]


async def test_nobody_is_asked_to_judge_what_is_the_same() -> None:
    judge = Says("judge:1", 1)
    await ask(Says("a:1", "yes", 0.3), Says("b:1", "yes", 0.5), choose="best_of", judge=judge)
    assert judge.instructions == []


@pytest.mark.parametrize("does", [BadReply("unfit"), 3], ids=["fails", "picks what there is not"])
async def test_without_an_opinion_of_the_judge_the_surest_wins_and_that_is_told(does: int | Exception) -> None:
    reply = await ask(Says("a:1", "no", 0.2), Says("b:1", "yes", 0.4), choose="best_of", judge=Says("judge:1", does))
    assert reply.model == "b:1"
    assert [(hop.model, hop.reason) for hop in reply.hops] == [("judge:1", "BadReply")]


async def test_all_are_asked_at_the_same_time() -> None:
    met = asyncio.Barrier(3)

    class Waits(Says):
        async def generate(self, output_type: type[Output], **more: object) -> Reply[Output]:
            await met.wait()
            return await super().generate(output_type, instructions="")

    async with asyncio.timeout(5):
        await ask(*(Waits(f"{name}:1", "yes") for name in "abc"))


@given(said=st.lists(st.sampled_from(["x", "y", "z"]), min_size=2, max_size=6))
async def test_again_from_the_record_nobody_is_asked_and_the_choice_is_the_same(said: list[str]) -> None:
    steps = ListedSteps()
    first = await ask(*(Says(f"m:{n}", one) for n, one in enumerate(said)), steps=steps)
    again = [Says(f"m:{n}", ModelUnavailable("asked again")) for n in range(len(said))]
    second = await ask(*again, steps=steps)
    assert (second.output, second.model) == (first.output, first.model)
    assert said.count(first.output.text) == max(map(said.count, said))
    assert all(one.instructions == [] for one in again)


def looks(name: str) -> ScriptLine:
    return ScriptLine("Line", usage=ONE, calls=(ToolCall(id="1", name="look", arguments={"word": name}),))


async def test_each_of_them_has_its_tools_called_and_one_that_never_replies_is_left_out() -> None:
    looked: list[str] = []

    @tool
    async def look(word: str) -> str:
        """Look a word up."""
        looked.append(word)
        return f"{word}!"

    steps = ListedSteps()
    again = ScriptedModel([looks("a"), looks("a")], name="a:1")
    once = ScriptedModel([looks("b"), ScriptLine("Line", {"text": "b!"}, reads=("b!",), usage=ONE)], name="b:1")
    with again, once:
        panel = Panel((again, once), NOBODY)
        context = surroundings(NOBODY, panel=panel, tools=[look], steps=steps)
        reply = await context.model.generate(Line, instructions="say a word", question="which?", tools=True, rounds=1)
    assert (reply.output.text, reply.model) == ("b!", "b:1")
    assert [(hop.model, hop.reason) for hop in reply.hops] == [("a:1", "ToolRoundsSpent")]
    assert sorted(looked) == ["a", "b"]
    assert usage_of(steps.steps.values()) == Usage(model_calls=4, output_tokens=20, tool_calls=2)


async def test_when_none_replies_for_its_tools_the_task_may_be_tried_again() -> None:
    @tool
    async def look(word: str) -> str:
        """Look a word up."""
        return word

    models = [ScriptedModel([looks("a"), looks("a")], name=f"{name}:1") for name in "ab"]
    context = surroundings(NOBODY, panel=Panel(tuple(models), NOBODY), tools=[look])
    with pytest.raises(ToolRoundsSpent):
        await context.model.generate(Line, instructions="say a word", tools=True, rounds=1)


async def test_replies_that_came_in_another_order_are_still_those_of_their_models() -> None:
    steps = ListedSteps()
    first_is_through = asyncio.Event()

    class Late(Says):
        async def generate(self, output_type: type[Output], **more: object) -> Reply[Output]:
            await first_is_through.wait()
            raise asyncio.CancelledError  # the process dies

    class Early(Says):
        async def generate(self, output_type: type[Output], **more: object) -> Reply[Output]:
            reply = await super().generate(output_type, instructions="")
            asyncio.get_running_loop().call_soon(first_is_through.set)
            return reply

    with pytest.raises(asyncio.CancelledError):
        await ask(Late("a:1", "no", 0.9), Early("b:1", "yes", 0.1), steps=steps)
    done = {number: step for number, step in steps.steps.items() if step.end == "done"}
    steps.steps = done
    second = Says("b:1", ModelUnavailable("asked again"))
    reply = await ask(Says("a:1", "no", 0.9), second, steps=steps)
    assert reply.model == "a:1"
    assert second.instructions == []


def test_an_agent_whose_process_opens_no_models_says_so() -> None:
    with pytest.raises(TaskMisconfigured, match="panel_of"):
        no_panel(Ensemble(models=("a:1", "b:1")))
