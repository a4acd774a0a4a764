"""content: what was asked and answered, as attributes of spans: JSON as the GenAI conventions have it, cut to a size that viewers take.

https://github.com/open-telemetry/semantic-conventions-genai (gen-ai-input-messages.json, gen-ai-output-messages.json)
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pydantic import JsonValue

from stretto.bus.conventions import GEN_AI_INPUT_MESSAGES, GEN_AI_OUTPUT_MESSAGES, GEN_AI_SYSTEM_INSTRUCTIONS
from stretto.shared.models.document_text import data_texts
from stretto.shared.models.exchange import Ask, Said
from stretto.shared.models.protocol import Round, ToolCall

__all__ = ["LIMIT_BYTES", "answered", "asked", "told"]

LIMIT_BYTES: Final = 8_192
"""Of one attribute."""
_SHORTEST_BYTES: Final = 64
_BEGINNING_BYTES: Final = 3_500
"""Of JSON that stands as text in JSON: that takes at most twice as much."""


def asked(ask: Ask) -> dict[str, str]:
    """The instructions and the messages of a request, in their order."""
    found = {GEN_AI_INPUT_MESSAGES: _fitted(list(_messages(ask)), lambda cut: [_message("user", _text(cut))])}
    if ask.instructions:
        found[GEN_AI_SYSTEM_INSTRUCTIONS] = _fitted([_text(ask.instructions)], lambda cut: [_text(cut)])
    return found


def answered(said: Said, finish_reason: str) -> dict[str, str]:
    """What a model said, as far as it came; nothing where nothing did."""
    parts = _said(said.text, said.calls)
    if not parts:
        return {}

    def whole(*parts: JsonValue) -> JsonValue:
        return [{"role": "assistant", "parts": [*parts], "finish_reason": finish_reason}]

    return {GEN_AI_OUTPUT_MESSAGES: _fitted(whole(*parts), lambda cut: whole(_text(cut)))}


def told(value: JsonValue) -> str:
    """What a tool was given, or gave; text as it is."""
    if isinstance(value, str):
        return _cut(value, LIMIT_BYTES)
    return _fitted(value, lambda cut: {"cut": cut})


def _messages(ask: Ask) -> Iterator[JsonValue]:
    yield _message("user", *(_text(one) for one in data_texts(ask)))
    for one in ask.rounds:
        yield _message("assistant", *_said(one.text, one.calls))
        yield _message("tool", *_outcomes(one))
    for turn in ask.turns:
        yield _message("assistant", _text(turn.reply))
        yield _message("user", _text(turn.objection))
    if ask.begun:
        yield _message("assistant", _text(ask.begun))


def _said(text: str, calls: Sequence[ToolCall]) -> list[JsonValue]:
    parts: list[JsonValue] = [_text(text)] if text else []
    asked: list[JsonValue] = [
        {"type": "tool_call", "id": one.id, "name": one.name, "arguments": one.arguments} for one in calls
    ]
    return parts + asked


def _outcomes(one: Round) -> Iterator[JsonValue]:
    for outcome in one.outcomes:
        yield {"type": "tool_call_response", "id": outcome.call, "response": outcome.text}


def _message(role: str, *parts: JsonValue) -> JsonValue:
    return {"role": role, "parts": [*parts]}


def _text(text: str) -> JsonValue:
    return {"type": "text", "content": text}


def _fitted(value: JsonValue, instead: Callable[[str], JsonValue]) -> str:
    """The value as JSON of at most `LIMIT_BYTES`: with its longest texts cut, so that it stays what it is; or else, where many short ones
    are too much, `instead` of it made from its beginning."""
    whole = _dumps(value)
    found, limit_bytes = whole, LIMIT_BYTES
    while _size_bytes(found) > LIMIT_BYTES and limit_bytes > _SHORTEST_BYTES:
        limit_bytes //= 2
        found = _dumps(_shortened(value, limit_bytes))
    return found if _size_bytes(found) <= LIMIT_BYTES else _dumps(instead(_cut(whole, _BEGINNING_BYTES)))


def _shortened(value: JsonValue, limit_bytes: int) -> JsonValue:
    match value:
        case str():
            return _cut(value, limit_bytes)
        case list():
            return [_shortened(one, limit_bytes) for one in value]
        case dict():
            return {name: _shortened(one, limit_bytes) for name, one in value.items()}
        case _:
            return value


def _cut(text: str, limit_bytes: int) -> str:
    data = text.encode(errors="replace")  # half a pair of surrogates would be no attribute
    if len(data) <= limit_bytes:
        return data.decode()
    mark = f"… [cut: {len(data)} bytes]"
    return data[: limit_bytes - len(mark.encode())].decode(errors="ignore") + mark


def _dumps(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()


def _size_bytes(text: str) -> int:
    return len(text.encode())
