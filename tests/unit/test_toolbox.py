"""Toolbox: what goes in is checked, what comes out is fit to be read, and each call is paid for and recorded once."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from stretto.agents.context import TaskContext
from stretto.agents.errors import ToolFailed, ToolUnknown, ToolUnsure
from stretto.agents.outcome import failure_of
from stretto.agents.tool_result import fitted, seen, text_of
from stretto.bus.envelope import ArtifactRef
from stretto.bus.journal import Entry
from stretto.bus.step import Step
from stretto.shared.contracts.step import usage_of
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.offline.model import OfflineModel
from stretto.shared.models.protocol import Grant, Purse, ToolCall
from stretto.shared.money.errors import BudgetSpent
from stretto.shared.tools.built_in.memory_search import MemorySearch
from stretto.shared.tools.errors import ToolArgumentsWrong, ToolForbidden, ToolResultWrong, ToolTimedOut
from stretto.shared.tools.limits import LimitedTool, ToolLimits
from stretto.shared.tools.protocol import Consequences, Tool
from tests.unit.agent_world import ListedSteps, ListMemory, record, surroundings

Does = Callable[[Mapping[str, JsonValue]], Awaitable[JsonValue]]


class Made:
    """A tool that does what the test says; keeps its calls and their keys."""

    description = "Does it."

    def __init__(
        self,
        does: Does,
        *,
        name: str = "do",
        effects: Consequences = "none",
        output_schema: Mapping[str, JsonValue] | None = None,
    ) -> None:
        self.name = name
        self.effects = effects
        self.schema: Mapping[str, JsonValue] = {
            "type": "object",
            "properties": {"n": {"type": "integer"}},
            "additionalProperties": False,
        }
        self.output_schema = output_schema
        self.calls: list[Mapping[str, JsonValue]] = []
        self.keys: list[str] = []
        self._does = does

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        self.calls.append(arguments)
        self.keys.append(key)
        return await self._does(arguments)


async def fine(arguments: Mapping[str, JsonValue]) -> JsonValue:
    return {"done": dict(arguments)}


async def for_ever(_: Mapping[str, JsonValue]) -> JsonValue:
    await asyncio.Event().wait()
    return None


def failing(error: Exception) -> Does:
    async def fail(_: Mapping[str, JsonValue]) -> JsonValue:
        raise error

    return fail


def giving(result: JsonValue) -> Does:
    async def give(_: Mapping[str, JsonValue]) -> JsonValue:
        return result

    return give


def with_tools(*tools: Tool, steps: ListedSteps | None = None, purse: Purse | None = None) -> TaskContext:
    return surroundings(OfflineModel(), tools=tools, steps=steps, purse=purse)


class CountedPurse:
    """Grants so many calls; keeps what was settled."""

    def __init__(self, calls: int) -> None:
        self.left = calls
        self.settled: list[Usage] = []

    async def for_model(self, model: str, *, input_tokens: int, output_tokens: int) -> Grant:
        raise NotImplementedError

    async def for_tool(self, name: str) -> Grant:
        if not self.left:
            raise BudgetSpent("no call left", unit="tool_calls")
        self.left -= 1
        return CountedGrant(self)


class CountedGrant:
    output_tokens = 0

    def __init__(self, purse: CountedPurse) -> None:
        self._purse = purse

    async def settle(self, usage: Usage) -> None:
        self._purse.settled.append(usage)


# What goes in


async def test_wrong_arguments_call_nothing_record_nothing_and_cost_nothing() -> None:
    tool, steps, purse = Made(fine), ListedSteps(), CountedPurse(1)
    tools = with_tools(tool, steps=steps, purse=purse).tools
    with pytest.raises(
        ToolArgumentsWrong, match="the arguments do not fit do, which was not called: n: it must be"
    ) as caught:
        await tools.call("do", {"n": "many"})
    assert failure_of(caught.value).kind == "permanent"
    assert (tool.calls, steps.steps, purse.left) == ([], {}, 1)
    assert await tools.call("do", {"n": 1}) == {"done": {"n": 1}}


async def test_a_model_sees_the_tools_with_their_schemas() -> None:
    (spec,) = with_tools(Made(fine)).tools.specs
    assert (spec.name, spec.description, spec.schema["type"]) == ("do", "Does it.", "object")


# What comes out


async def test_a_result_that_was_not_promised_is_an_error() -> None:
    with pytest.raises(
        ToolResultWrong, match="do returned what it did not promise: the whole: it must be of type string"
    ):
        await with_tools(Made(fine, output_schema={"type": "string"})).tools.call("do")


async def test_what_nobody_sees_is_taken_out_of_results_also_of_names_and_deep_inside() -> None:
    hidden = "a\U000e0049\u200bb\ufe0f\u202e"
    result = await with_tools(Made(giving({hidden: [hidden, {"x": hidden}], "n": 1}))).tools.call("do")
    assert result == {"ab": ["ab", {"x": "ab"}], "n": 1}


async def test_a_long_text_is_cut_with_a_mark_and_recorded_so() -> None:
    steps = ListedSteps()
    tool = LimitedTool(Made(giving("ä" * 5_000)), ToolLimits(size_limit_bytes=1_000))
    result = await with_tools(tool, steps=steps).tools.call("do")
    assert isinstance(result, str)
    assert result.startswith("ää")
    assert result.endswith("[cut here: the first part of 10000 bytes]")
    assert len(json.dumps(result, ensure_ascii=False).encode()) <= 1_000
    assert steps.steps[0].output == result


async def test_a_long_result_is_kept_whole_where_the_settings_say_so() -> None:
    kept: list[bytes] = []

    async def keep(data: bytes) -> ArtifactRef:
        kept.append(data)
        return ArtifactRef(sha256="a" * 64, size_bytes=len(data))

    whole: JsonValue = {"rows": list(range(1_000))}
    tool = LimitedTool(Made(giving(whole)), ToolLimits(size_limit_bytes=1_000, over="artifact"), keep)
    result = await with_tools(tool).tools.call("do")
    assert isinstance(result, dict)
    assert json.loads(kept[0]) == whole
    assert (result["artifact"], result["size_bytes"]) == ("a" * 64, len(kept[0]))
    assert str(result["beginning"]).startswith('{"rows": [0, 1')


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(JSON_VALUES, st.integers(256, 700))
def test_no_result_is_over_its_limit(value: JsonValue, size_bytes: int) -> None:
    padded: JsonValue = [value] * 20 if not isinstance(value, str) else value * 40
    found = asyncio.run(fitted(seen(padded), ToolLimits(size_limit_bytes=size_bytes), None))
    assert len(json.dumps(found, ensure_ascii=False).encode()) <= size_bytes
    assert isinstance(text_of(found), str)


@pytest.mark.parametrize("odd", [object(), float("nan"), {1: 2}, b"bytes"])
async def test_a_result_that_json_cannot_say_is_the_tools_failure(odd: object) -> None:
    async def give(_: Mapping[str, JsonValue]) -> JsonValue:
        return odd  # type: ignore[return-value]  # that is the point

    with pytest.raises(ToolResultWrong, match="what JSON cannot say"):
        await with_tools(Made(give)).tools.call("do")


async def test_a_number_that_no_message_can_carry_is_given_as_text() -> None:
    assert await with_tools(Made(giving([2**64, -(2**63), True]))).tools.call("do") == [str(2**64), -(2**63), True]


# Time and money


async def test_a_tool_that_takes_too_long_is_stopped() -> None:
    tool = LimitedTool(Made(for_ever), ToolLimits(time_limit_s=0.01))
    with pytest.raises(ToolTimedOut, match=r"do did not end within 0\.01 s"):
        await with_tools(tool).tools.call("do")


async def test_an_unkeyed_tool_that_takes_too_long_is_not_done_again_by_another_attempt() -> None:
    tool = LimitedTool(Made(for_ever, effects="unkeyed"), ToolLimits(time_limit_s=0.01))
    with pytest.raises(ToolUnsure, match="whether it happened is not known") as caught:
        await with_tools(tool).tools.for_reply().outcomes_of([ToolCall(id="1", name="do", arguments={})])
    assert failure_of(caught.value).kind == "permanent"


async def test_each_call_is_paid_for_also_one_that_fails_and_none_goes_beyond_the_purse() -> None:
    purse, tool, steps = CountedPurse(2), Made(failing(ToolForbidden("no"))), ListedSteps()
    tools = with_tools(tool, purse=purse, steps=steps).tools
    for _ in range(2):
        with pytest.raises(ToolForbidden):
            await tools.call("do")
    with pytest.raises(BudgetSpent):
        await tools.call("do")
    assert purse.settled == [Usage(tool_calls=1)] * 2
    assert usage_of(steps.steps.values()) == Usage(tool_calls=2)
    assert len(tool.calls) == 2


# The record


async def test_a_call_on_record_is_neither_made_nor_paid_again() -> None:
    steps, purse = ListedSteps(), CountedPurse(2)
    tool = Made(fine)
    first = await with_tools(tool, steps=steps, purse=purse).tools.call("do", {"n": 1})
    again = with_tools(tool, steps=steps, purse=purse).tools
    assert await again.call("do", {"n": 1}) == first
    assert (len(tool.calls), purse.left) == (1, 1)
    await again.call("do", {"n": 1})  # another one
    assert (len(tool.calls), purse.left) == (2, 0)


async def test_a_keyed_call_that_failed_keeps_its_key_when_it_is_asked_for_again() -> None:
    steps, failures = ListedSteps(), [ConnectionError("gone")]

    async def flaky(arguments: Mapping[str, JsonValue]) -> JsonValue:
        if failures:
            raise failures.pop()
        return "done"

    tool = Made(flaky, effects="keyed")
    with pytest.raises(ConnectionError):
        await with_tools(tool, steps=steps).tools.call("do", {"n": 1})
    tools = with_tools(tool, steps=steps).tools  # another process: the failure comes from the record
    with pytest.raises(ConnectionError):
        await tools.call("do", {"n": 1})
    assert await tools.call("do", {"n": 1}) == "done"
    assert await tools.call("do", {"n": 1}) == "done"
    assert await tools.call("do", {"n": 2}) == "done"
    failed, mended, second, other = tool.keys
    assert failed == mended
    assert len({mended, second, other}) == 3


# What a model asks for


def calls(*asked: tuple[str, dict[str, JsonValue] | None]) -> Sequence[ToolCall]:
    return [ToolCall(id=str(at), name=name, arguments=arguments) for at, (name, arguments) in enumerate(asked)]


async def test_calls_run_side_by_side_and_their_outcomes_come_in_order() -> None:
    both = asyncio.Barrier(2)

    async def meet(arguments: Mapping[str, JsonValue]) -> JsonValue:
        await both.wait()
        return arguments["n"]

    made = calls(("do", {"n": 1}), ("do", {"n": 2}))
    async with asyncio.timeout(5):
        outcomes = await with_tools(Made(meet)).tools.for_reply().outcomes_of(made)
    assert [(one.call, one.text, one.failed) for one in outcomes] == [("0", "1", False), ("1", "2", False)]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("wipe", {}), "there is no tool 'wipe' here: there is do"),
        (("do", None), "the arguments of do are no JSON object: nothing was called"),
        (("do", {"n": "1"}), "the arguments do not fit do, which was not called: n: it must be of type integer"),
        (("do", {"n": 1}), "not allowed here"),
    ],
)
async def test_a_failure_is_told_once_then_it_is_the_tasks(
    asked: tuple[str, dict[str, JsonValue] | None], told: str
) -> None:
    reply = with_tools(Made(failing(ToolForbidden("not allowed here")))).tools.for_reply()
    for outcome in await reply.outcomes_of(calls(asked, asked)):  # the model knew of neither
        assert (outcome.failed, outcome.text) == (True, told)
    with pytest.raises(ToolFailed, match=f"^{told[:20]}") as caught:
        await reply.outcomes_of(calls(asked))
    assert failure_of(caught.value).kind == "retryable"


async def test_another_reply_may_be_told_again_and_another_tools_failure_is_its_own() -> None:
    tools = with_tools(Made(failing(ToolForbidden("no"))), Made(failing(ToolForbidden("no")), name="other")).tools
    reply = tools.for_reply()
    assert [one.failed for one in await reply.outcomes_of(calls(("do", {}), ("other", {})))] == [True, True]
    assert [one.failed for one in await tools.for_reply().outcomes_of(calls(("do", {})))] == [True]


async def test_of_an_unknown_error_a_model_learns_the_name_alone() -> None:
    tools = with_tools(Made(failing(RuntimeError("password=canary")))).tools
    (outcome,) = await tools.for_reply().outcomes_of(calls(("do", {})))
    assert outcome.text == "do failed: RuntimeError"


async def test_what_nobody_sees_is_taken_out_of_errors_and_descriptions_too() -> None:
    tool = Made(failing(ToolForbidden("no\u200b" + "x" * 5_000)))
    tool.description = "Does\U000e0041 it."
    tools = with_tools(tool).tools
    assert tools.specs[0].description == "Does it."
    (outcome,) = await tools.for_reply().outcomes_of(calls(("do", {})))
    assert outcome.text == "no" + "x" * 1_998


async def test_when_a_call_ends_the_task_the_others_are_finished_and_recorded() -> None:
    go = asyncio.Event()

    class Watched(ListedSteps):
        async def write(self, entry: Entry, *, message_id: str) -> tuple[Entry, bool]:
            written = await super().write(entry, message_id=message_id)
            if isinstance(entry, Step) and entry.end == "failed":
                go.set()
            return written

    async def slow(_: Mapping[str, JsonValue]) -> JsonValue:
        await go.wait()
        for _turn in range(50):  # of the loop: enough for the failure to get through
            await asyncio.sleep(0)
        return "slow"

    class Emptied(CountedPurse):
        async def for_tool(self, name: str) -> Grant:
            if name == "do":
                raise BudgetSpent("no call left")
            return CountedGrant(self)

    steps = Watched()
    tools = with_tools(Made(fine), Made(slow, name="slow"), steps=steps, purse=Emptied(0)).tools
    with pytest.raises(BudgetSpent):
        await tools.for_reply().outcomes_of(calls(("do", {}), ("slow", {})))
    assert {step.name: step.end for step in steps.steps.values()} == {"do": "failed", "slow": "done"}


async def test_an_unknown_tool_is_a_mistake_of_whoever_wrote_the_agent() -> None:
    with pytest.raises(ToolUnknown, match="there is none at all"):
        await with_tools().tools.call("do")


# Memory


async def test_memory_search_is_held_to_the_requests_documents_whatever_a_model_asks() -> None:
    scopes: list[Sequence[str]] = []

    class Scoped(ListMemory):
        async def search(self, query: str, *, scope: Sequence[str] = (), limit: int = 8):  # type: ignore[no-untyped-def]  # as its base
            scopes.append(scope)
            return await super().search(query, scope=scope, limit=limit)

    memory = Scoped(record("r1", "Refunds take 14 days."), record("r2", "Bananas are yellow."))
    tool = LimitedTool(MemorySearch(), ToolLimits())
    ctx = surroundings(OfflineModel(), tools=[tool], memory=memory, scope=["docs"])
    found = await ctx.tools.call("memory_search", {"query": "refunds", "limit": 1})
    assert isinstance(found, dict)
    assert found["passages"] == [
        {"id": "r1", "source": "refunds.md", "place": "Refunds, line 1", "text": "Refunds take 14 days.", "score": 1.0}
    ]
    assert scopes == [("docs",)]
    wrongs: list[dict[str, JsonValue]] = [
        {"query": "x", "scope": ["other"]},
        {"query": "x", "limit": 999},
        {"query": ""},
        {},
    ]
    for wrong in wrongs:
        with pytest.raises(ToolArgumentsWrong):
            await ctx.tools.call("memory_search", wrong)
