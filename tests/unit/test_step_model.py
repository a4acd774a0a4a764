"""StepModel: turns and calls are steps, a model has tools called until it replies, and what it writes is told meanwhile."""

import asyncio
from collections.abc import Sequence

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.agents.errors import ToolFailed, ToolRoundsSpent
from stretto.agents.live_text import LiveText
from stretto.shared.contracts.step import ModelOutcome, usage_of
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import ModelUnavailable
from stretto.shared.models.offline.model import OfflineModel
from stretto.shared.models.protocol import Document, Hop, OnText, Output, Purse, Reply, ToolCall
from stretto.shared.models.scripted import ScriptedModel, ScriptLine
from stretto.shared.prompt import Prompt
from stretto.shared.tools.errors import ToolUnavailable
from stretto.shared.tools.function import tool
from stretto.shared.tools.protocol import Tool
from tests.unit.agent_world import ListedSteps, surroundings

ONE = Usage(model_calls=1, input_tokens=10, output_tokens=5, cost_usd=0.25)


class Sum(BaseModel):
    total: int


class Calls:
    """A tool that adds, once all calls that it waits for are there."""

    def __init__(self, together: int = 1) -> None:
        self.made: list[tuple[int, int]] = []
        self._together = together
        self._there = asyncio.Event()

    @property
    def tool(self) -> Tool:
        @tool
        async def add(a: int, b: int) -> int:
            """Add two numbers."""
            self.made.append((a, b))
            if len(self.made) >= self._together:
                self._there.set()
            async with asyncio.timeout(5):
                await self._there.wait()
            return a + b

        return add


def asks(*calls: tuple[str, dict[str, object] | None]) -> ScriptLine:
    wanted = [{"id": "", "name": name, "arguments": arguments} for name, arguments in calls]
    return ScriptLine("Sum", usage=ONE, calls=tuple(map(ToolCall.model_validate, wanted)))


def replies(total: int, *reads: str) -> ScriptLine:
    return ScriptLine("Sum", {"total": total}, reads=reads, usage=ONE)


async def total(context: TaskContext, tools: bool | Sequence[str] = True, rounds: int = 8) -> Reply[Sum]:
    return await context.model.generate(Sum, instructions="Add.", question="1+2 and 3+4?", tools=tools, rounds=rounds)


async def test_calls_run_side_by_side_and_the_model_is_asked_again_with_what_they_gave() -> None:
    calls = Calls(together=2)
    steps = ListedSteps()
    lines = [asks(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})), replies(10, "3", "7")]
    with ScriptedModel(lines) as model:
        reply = await total(surroundings(model, tools=[calls.tool], steps=steps))
    assert reply.output == Sum(total=10)
    assert reply.usage == ONE + ONE
    assert sorted(calls.made) == [(1, 2), (3, 4)]
    assert [one.kind for _, one in sorted(steps.steps.items())] == ["model", "tool", "tool", "model"]
    turn = ModelOutcome.model_validate(steps.steps[0].output)
    assert turn.output is None
    assert [one.name for one in turn.calls] == ["add", "add"]
    assert usage_of(steps.steps.values()) == ONE + ONE + Usage(tool_calls=2)


@pytest.mark.parametrize("recorded", [1, 2, 3, 4])
async def test_an_attempt_goes_on_from_any_of_its_steps_and_pays_nothing_twice(recorded: int) -> None:
    lines = [asks(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})), replies(10)]
    steps = ListedSteps()
    await total(surroundings(ScriptedModel(lines), tools=[Calls().tool], steps=steps))
    left = ListedSteps()
    left.steps = {position: steps.steps[position] for position in range(recorded)}
    calls = Calls()
    with ScriptedModel(lines[1:] if recorded < 4 else []) as model:
        reply = await total(surroundings(model, tools=[calls.tool], steps=left))
    assert reply.output == Sum(total=10)
    assert reply.usage == ONE + ONE
    assert len(calls.made) == max(0, 3 - recorded)
    assert left.steps == steps.steps


async def test_what_was_not_offered_is_not_called() -> None:
    calls = Calls()

    @tool
    async def erase() -> str:
        """Erase all."""
        raise AssertionError("it was called")

    lines = [asks(("add", {"a": 1, "b": 2})), replies(3)]
    context = surroundings(_Insolent("erase", lines), tools=[calls.tool, erase])
    reply = await total(context, tools=["add"])
    assert reply.output == Sum(total=3)


async def test_wrong_arguments_and_a_first_failure_are_told_to_the_model() -> None:
    calls = Calls()
    lines = [
        asks(("add", {"a": "one"}), ("add", None)),
        replies(3, "no JSON object"),
    ]
    with ScriptedModel(lines) as model:
        await total(surroundings(model, tools=[calls.tool]))
    assert calls.made == []


async def test_a_tool_that_fails_again_fails_the_task() -> None:
    @tool
    async def look() -> str:
        """Look something up."""
        raise ToolUnavailable("the archive is closed")

    lines = [asks(("look", {})), asks(("look", {}))]
    with ScriptedModel(lines) as model, pytest.raises(ToolFailed, match="archive is closed"):
        await total(surroundings(model, tools=[look]))


async def test_a_model_that_never_replies_is_given_up() -> None:
    lines = [asks(("add", {"a": 1, "b": number})) for number in range(3)]
    calls = Calls()
    with ScriptedModel(lines) as model, pytest.raises(ToolRoundsSpent, match="3 times"):
        await total(surroundings(model, tools=[calls.tool]), rounds=2)
    assert len(calls.made) == 2


async def test_a_model_that_knows_no_tools_replies_without_them() -> None:
    with ScriptedModel([replies(3)]) as model:
        plain = _Plain(model)
        reply = await total(surroundings(plain, tools=[Calls().tool]))
    assert reply.output == Sum(total=3)
    assert not hasattr(OfflineModel(), "take_turn")


async def test_no_tools_are_offered_unless_the_agent_says_so() -> None:
    with ScriptedModel([replies(3)]) as model:
        reply = await total(surroundings(_Plain(model), tools=[Calls().tool]), tools=False)
    assert reply.output == Sum(total=3)


async def test_hops_and_the_prompt_are_on_record_and_come_back_in_a_replay() -> None:
    hop = Hop(model="dear", reason="budget")
    steps = ListedSteps()
    prompt = Prompt("Pick.", name="agents/best_of", digest="0123456789ab")
    for _ in range(2):
        context = surroundings(_Plain(ScriptedModel([replies(3)]), hops=(hop,)), steps=steps)
        reply = await context.model.generate(Sum, instructions=prompt)
        assert reply.hops == (hop,)
    outcome = ModelOutcome.model_validate(steps.steps[0].output)
    assert outcome.hops == (hop,)
    assert outcome.prompt == "agents/best_of@0123456789ab"


async def test_a_failed_call_is_not_paid_for_again() -> None:
    steps = ListedSteps()
    error = ModelUnavailable("it is away", usage=ONE)
    with pytest.raises(ModelUnavailable):
        await total(surroundings(ScriptedModel([ScriptLine("Sum", error)]), steps=steps))
    with pytest.raises(ModelUnavailable, match="it is away"):
        await total(surroundings(ScriptedModel([]), steps=steps))
    assert usage_of(steps.steps.values()) == ONE


class _Told:
    """What is told of replies, by a clock of its own."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, str]] = []
        self.now_s = 100.0
        self.live = LiveText(self._tell, clock=lambda: self.now_s)

    async def _tell(self, reply: int, piece: str) -> None:
        self.pieces.append((reply, piece))


async def test_the_first_piece_is_told_at_once_and_later_ones_together() -> None:
    told = _Told()
    async with told.live.reply() as on_text:
        await on_text("a")
        assert told.pieces == [(1, "a")]
        await on_text("b")
        await on_text("c")
        assert told.pieces == [(1, "a")]
        told.now_s += 0.02
        await on_text("d")
        assert told.pieces == [(1, "a"), (1, "bcd")]
        await on_text("e")
    assert told.pieces == [(1, "a"), (1, "bcd"), (1, "e")]


async def test_each_reply_has_its_number_and_a_replay_tells_nothing() -> None:
    told = _Told()
    steps = ListedSteps()
    for _ in range(2):
        context = surroundings(_Plain(ScriptedModel([replies(1), replies(2)])), steps=steps, live=told.live)
        await total(context, tools=False)
        await context.model.generate(Sum, instructions="Again.", question="1+2 and 3+4?")
    assert told.pieces == [(1, "1"), (2, "2")]


class _Plain:
    """A model without tools, that streams its total, and was reached over these hops."""

    def __init__(self, model: ScriptedModel, hops: tuple[Hop, ...] = ()) -> None:
        self._model = model
        self._hops = hops
        self.name = model.name

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
        reply = await self._model.generate(
            output_type, instructions=instructions, question=question, documents=documents
        )
        if on_text is not None and isinstance(reply.output, Sum):
            await on_text(str(reply.output.total))
        return Reply(reply.output, reply.model, reply.usage, hops=self._hops)


class _Insolent(ScriptedModel):
    """Asks for a tool beside those that its script asks for, whatever it was offered."""

    def __init__(self, tool_name: str, lines: Sequence[ScriptLine]) -> None:
        super().__init__(lines)
        self._tool_name = tool_name

    async def take_turn(self, output_type, **asked):  # type: ignore[no-untyped-def]  # it hands on what it gets
        turn = await super().take_turn(output_type, **asked)
        if isinstance(turn, Reply):
            outcomes = asked["rounds"][0].outcomes
            assert [one.failed for one in outcomes] == [False, True]
            assert "there is no such tool" in outcomes[1].text
            return turn
        wanted = ToolCall(id="call_x", name=self._tool_name, arguments={})
        return type(turn)((*turn.calls, wanted), turn.model, turn.usage)
