"""What is captured of content: nothing unless it is asked for; then what the conventions' schemas take, cut where it is long."""

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.exchange import Ask, Said, Shape, Turn
from stretto.shared.models.offline.model import OfflineModel
from stretto.shared.models.protocol import Document, Round, ToolCall, ToolOutcome
from stretto.shared.models.scripted import ScriptedModel, ScriptLine
from stretto.shared.settings import SettingsError
from stretto.shared.telemetry.capture import CAPTURE_VARIABLE, Capture, capture_of, capturing
from stretto.shared.telemetry.chat import Chat
from stretto.shared.telemetry.content import LIMIT_BYTES, answered, asked, told
from stretto.shared.telemetry.process_tracing import tracing_of
from tests.measures import measuring
from tests.spans import attributes_of, recording

INPUT, OUTPUT, SYSTEM = "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"
DETAILS = "gen_ai.client.inference.operation.details"
PLAIN = Shape("text", "Made", {})
CALL = ToolCall(id="call_1", name="look_up", arguments={"what": "refunds"})


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(Strict):
    type: Literal["text"]
    content: str


class CallPart(Strict):
    type: Literal["tool_call"]
    id: str
    name: str
    arguments: dict[str, Any] | None


class ResponsePart(Strict):
    type: Literal["tool_call_response"]
    id: str
    response: str


class InputMessage(Strict):
    role: Literal["user", "assistant", "tool"]
    parts: list[TextPart | CallPart | ResponsePart]


class OutputMessage(Strict):
    role: Literal["assistant"]
    parts: list[TextPart | CallPart]
    finish_reason: Literal["stop", "length", "content_filter", "tool_call", "error"]


SCHEMAS: dict[str, TypeAdapter[Any]] = {
    INPUT: TypeAdapter(list[InputMessage]),
    OUTPUT: TypeAdapter(list[OutputMessage]),
    SYSTEM: TypeAdapter(list[TextPart]),
}
"""As far as the conventions' own go for what a model of ours is asked."""


class Made(BaseModel):
    text: str = ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, Capture()),
        ("", Capture()),
        ("NO_CONTENT", Capture()),
        ("SPAN_ONLY", Capture(spans=True)),
        (" true ", Capture(spans=True)),
        ("false", Capture()),
        ("event_only", Capture(events=True)),
        ("SPAN_AND_EVENT", Capture(spans=True, events=True)),
    ],
)
def test_the_variable_says_what_is_captured(said: str | None, expected: Capture) -> None:
    assert capture_of({} if said is None else {CAPTURE_VARIABLE: said}) == expected


def test_a_process_does_not_start_with_a_variable_that_means_nothing() -> None:
    with pytest.raises(SettingsError, match=f"{CAPTURE_VARIABLE} is 'SPANS': use NO_CONTENT, SPAN_ONLY"):
        tracing_of({CAPTURE_VARIABLE: "SPANS"})


def test_a_whole_exchange_is_told_in_its_order_by_the_schemas() -> None:
    ask = Ask(
        instructions="Pick.",
        question="How long?",
        documents=[Document(id="d1", text="30 days", source="refunds.md")],
        shape=PLAIN,
        rounds=[Round("Let me see.", (CALL,), (ToolOutcome(call="call_1", text="14 days"),))],
        turns=[Turn("no json", "That is no JSON.")],
        begun="{",
    )
    found = asked(ask)
    assert all(SCHEMAS[name].validate_json(value) for name, value in found.items())
    messages = json.loads(found[INPUT])
    assert [one["role"] for one in messages] == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert "30 days" in messages[0]["parts"][0]["content"]
    assert "How long?" in messages[0]["parts"][1]["content"]
    assert messages[1]["parts"][1] == {
        "type": "tool_call",
        "id": "call_1",
        "name": "look_up",
        "arguments": {"what": "refunds"},
    }
    assert messages[2]["parts"] == [{"type": "tool_call_response", "id": "call_1", "response": "14 days"}]
    assert json.loads(found[SYSTEM]) == [{"type": "text", "content": "Pick."}]


def test_an_answer_is_told_with_its_calls_and_why_it_ended() -> None:
    found = answered(Said(text="Let me see.", calls=[CALL], stop="done"), "tool_call")
    (message,) = SCHEMAS[OUTPUT].validate_json(found[OUTPUT])
    assert message.finish_reason == "tool_call"
    assert [one.type for one in message.parts] == ["text", "tool_call"]
    assert answered(Said(), "error") == {}, "nothing was said"


TEXTS = st.one_of(
    st.text(max_size=20),
    st.tuples(st.text(st.characters(), min_size=1, max_size=9), st.integers(1, 6_000)).map(lambda two: two[0] * two[1]),
)


@given(TEXTS, st.lists(TEXTS, max_size=4), st.sampled_from([0, 3, 400]))
def test_whatever_is_asked_fits_stays_by_the_schemas_and_says_where_it_was_cut(
    instructions: str, texts: list[str], short_ones: int
) -> None:
    documents = [Document(id=f"d{position}", text=text) for position, text in enumerate([*texts, *["x"] * short_ones])]
    ask = Ask(instructions, "How long?", documents, PLAIN)
    for name, value in asked(ask).items():
        assert len(value.encode()) <= LIMIT_BYTES
        SCHEMAS[name].validate_json(value)
        whole = sum(map(len, [instructions] if name == SYSTEM else [*texts, *["x"] * short_ones]))
        assert whole <= LIMIT_BYTES or "… [cut: " in value


def test_a_long_text_is_cut_and_the_short_ones_beside_it_are_not() -> None:
    documents = [Document(id="long", text="x" * 50_000), Document(id="short", text="30 days")]
    (message,) = json.loads(asked(Ask("", "How long?", documents, PLAIN))[INPUT])
    long, short, question = (one["content"] for one in message["parts"])
    assert long.endswith("bytes]")
    assert "… [cut: 50" in long
    assert len(long) > 2_000
    assert "30 days" in short
    assert "How long?" in question


@given(st.recursive(st.text(max_size=2_000) | st.integers() | st.none(), st.lists, max_leaves=40))
def test_whatever_a_tool_gives_fits(value: JsonValue) -> None:
    shown = told(value)
    assert len(shown.encode()) <= LIMIT_BYTES
    if not isinstance(value, str):
        json.loads(shown)


def test_half_a_surrogate_is_no_reason_to_lose_a_span() -> None:
    assert told("\ud800") == "?"
    told({"\ud800": "\udfff"}).encode()


@pytest.mark.parametrize(
    "chosen", [Capture(), Capture(spans=True), Capture(events=True), Capture(spans=True, events=True)], ids=str
)
async def test_content_stands_where_it_was_asked_for_and_nowhere_else(chosen: Capture) -> None:
    model = ScriptedModel([ScriptLine(Made, Made(text="canary-answer"), usage=Usage(model_calls=1))])
    with recording() as recorded, capturing(chosen):
        await model.generate(Made, instructions="canary-prompt", question="canary-question")
    span = recorded.one("chat scripted")
    names = {INPUT, OUTPUT, SYSTEM}
    assert names & attributes_of(span).keys() == (names if chosen.spans else set())
    events = {one.name: one.attributes or {} for one in span.events}
    assert events.keys() == ({DETAILS} if chosen.events else set())
    for details in events.values():
        assert {**details}.keys() >= {*names, "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"}
        assert "canary-answer" in str(details[OUTPUT])
    if chosen.spans:
        assert "canary-prompt" in str(attributes_of(span)[SYSTEM])
        assert "canary-question" in str(attributes_of(span)[INPUT])
        assert "canary-answer" in str(attributes_of(span)[OUTPUT])


async def test_models_of_this_process_are_told_too_without_tokens() -> None:
    with recording() as recorded, measuring() as measured:
        await OfflineModel().generate(
            Made, instructions="Fill.", question="text?", documents=[Document(id="d", text="The text: fine.")]
        )
    found = attributes_of(recorded.one("chat offline"))
    assert found["gen_ai.provider.name"] == "stretto"
    assert found["gen_ai.request.model"] == "offline"
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert not any(name.startswith("gen_ai.usage") for name in found)
    assert "gen_ai.client.token.usage" not in measured.points
    assert measured.points["gen_ai.client.operation.duration"][0].labels["gen_ai.request.model"] == "offline"


async def test_what_a_model_costs_is_told() -> None:
    usage = Usage(model_calls=1, input_tokens=7, cost_usd=0.25)
    with recording() as recorded, Chat(provider="p", model="m").request(Ask("", "?", (), PLAIN), Said(usage=usage)):
        pass
    assert attributes_of(recorded.one("chat m"))["stretto.cost_usd"] == 0.25
