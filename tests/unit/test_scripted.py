"""The scripted model: in order, checked, and used up."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.findings import Quote, Quotes
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import ModelUnavailable, ScriptMismatch
from stretto.shared.models.protocol import (
    CallsAsked,
    Document,
    Output,
    Reply,
    Round,
    ToolCall,
    ToolOutcome,
    ToolSpec,
)
from stretto.shared.models.scripted import ScriptedModel, ScriptLine

PASSAGE = Document(id="p", kind="passage", text="Refunds take five days.")


async def call(model: ScriptedModel, output_type: type[Output], question: str = "How long?") -> Reply[Output]:
    return await model.generate(output_type, instructions="", question=question, documents=[PASSAGE])


async def test_lines_are_used_in_order() -> None:
    usage = Usage(model_calls=1, input_tokens=7, cost_usd=0.5)
    with ScriptedModel(
        [
            ScriptLine(Quotes, Quotes(quotes=(Quote(document="p", quote="five days"),)), usage=usage, confidence=0.3),
            ScriptLine("Draft", {"answered": False, "gap": "none"}),
        ]
    ) as model:
        first = await call(model, Quotes)
        assert (first.output.quotes[0].quote, first.usage, first.confidence) == ("five days", usage, 0.3)
        assert (await call(model, Draft)).output == Draft(answered=False, gap="none")


async def test_a_line_may_raise_or_compute() -> None:
    def first_document(question: str, documents: Sequence[Document]) -> BaseModel:
        return Draft(answered=False, gap=f"{question} {documents[0].id}")

    model = ScriptedModel([ScriptLine(Quotes, ModelUnavailable("down")), ScriptLine(Draft, first_document)])
    with pytest.raises(ModelUnavailable, match="down"):
        await call(model, Quotes)
    assert (await call(model, Draft)).output.gap == "How long? p"


async def test_the_wrong_type_names_both_and_uses_nothing() -> None:
    model = ScriptedModel([ScriptLine(Draft, {"answered": False})])
    with pytest.raises(ScriptMismatch, match="line 1 expects Draft, but Quotes was asked for"):
        await call(model, Quotes)
    assert len(model.left) == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (ScriptLine(Quotes, {}, asks="How much"), "in the question"),
        (ScriptLine(Quotes, {}, reads=("Refunds", "never")), "'never' in one of the 1 documents"),
        (ScriptLine(Quotes, {"quotes": 3}), "no Quotes"),
    ],
)
async def test_a_call_that_does_not_fit_its_line_fails(line: ScriptLine, problem: str) -> None:
    with pytest.raises(ScriptMismatch, match=problem):
        await call(ScriptedModel([line]), Quotes)


async def test_a_call_too_many_fails() -> None:
    with pytest.raises(ScriptMismatch, match="call 1 asks for Quotes, but the script has 0 lines"):
        await call(ScriptedModel([]), Quotes)


def test_unused_lines_fail_the_test() -> None:
    with (
        pytest.raises(AssertionError, match="1 of 1 script lines were not used: Draft"),
        ScriptedModel([ScriptLine(Draft, {"answered": False})]),
    ):
        pass


def test_unused_lines_do_not_hide_an_error() -> None:
    with pytest.raises(KeyError), ScriptedModel([ScriptLine(Draft, {"answered": False})]):
        raise KeyError


async def test_a_script_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(
        "- expects: Quotes\n  asks: long\n  reply: {quotes: [{document: p, quote: five days}]}\n"
        "- {expects: Draft, error: ModelUnavailable}\n"
    )
    model = ScriptedModel.from_file(path)
    assert model.name == "scripted:script.yaml"
    assert (await call(model, Quotes)).output.quotes[0].document == "p"
    with pytest.raises(ModelUnavailable, match=r"script\.yaml"):
        await call(model, Draft)
    model.assert_used_up()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- {reply: {}}", "0.expects"),
        ("expects: Draft", "no script"),
        ("- {expects: Draft}", "reply"),
        ("- {expects: Draft, reply: {}, error: BadReply}", "reply"),
        ("- {expects: Draft, error: Nonsense}", "ModelUnavailable"),
        ("- [", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_script_says_where(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "script.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ScriptMismatch, match=problem):
        ScriptedModel.from_file(path)


async def test_a_line_may_ask_for_tools(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(
        """
- expects: Draft
  calls:
    - {name: search, arguments: {query: refunds}}
    - {name: search, arguments: null}
  usage: {model_calls: 1, output_tokens: 3}
- expects: Draft
  reads: [five days]
  reply: {answered: false, gap: none}
"""
    )
    tools = [ToolSpec("search", "Search.", {"type": "object"})]

    async def turn(model: ScriptedModel, rounds: Sequence[Round] = ()) -> Reply[Draft] | CallsAsked:
        return await model.take_turn(Draft, instructions="", question="How?", tools=tools, rounds=rounds)

    with ScriptedModel.from_file(script) as model:
        asked = await turn(model)
        assert isinstance(asked, CallsAsked)
        assert [one.arguments for one in asked.calls] == [{"query": "refunds"}, None]
        assert len({one.id for one in asked.calls}) == 2
        assert asked.usage.output_tokens == 3
        outcomes = tuple(ToolOutcome(call=one.id, text="In five days.") for one in asked.calls)
        replied = await turn(model, [Round("", asked.calls, outcomes)])
        assert isinstance(replied, Reply)


async def test_a_line_that_asks_for_tools_is_a_mismatch_where_they_are_not_offered() -> None:
    line = ScriptLine(Draft, calls=(ToolCall(id="a", name="search", arguments={}),))
    with pytest.raises(ScriptMismatch, match="none were offered"):
        await call(ScriptedModel([line]), Draft)
    with pytest.raises(ScriptMismatch, match="no such tool"):
        await ScriptedModel([line]).take_turn(Draft, instructions="", question="How long?", tools=[])


async def test_lines_are_paid_for_from_the_purse() -> None:
    usage = Usage(model_calls=1, input_tokens=7, output_tokens=9, cost_usd=0.5)
    log: list[object] = []

    class Purse:
        async def for_model(self, model: str, *, input_tokens: int, output_tokens: int) -> "Purse":
            log.append((model, input_tokens, output_tokens))
            return self

        async def for_tool(self, name: str) -> "Purse":
            raise NotImplementedError

        @property
        def output_tokens(self) -> int:
            return 9

        async def settle(self, usage: Usage) -> None:
            log.append(usage)

    model = ScriptedModel([ScriptLine(Draft, {"answered": False}, usage=usage)])
    await model.generate(Draft, instructions="", purse=Purse())
    assert log == [("scripted", 7, 9), usage]
