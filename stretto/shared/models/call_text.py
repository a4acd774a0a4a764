"""call_text: a tool call's arguments as the JSON text that OpenAI's protocols have them in, and ids where a server gives none."""

import json
import re
from collections.abc import Sequence
from typing import Final, cast

from pydantic import JsonValue

from stretto.shared.models.protocol import Round, ToolCall, ToolOutcome, ToolSpec

__all__ = ["arguments_of", "arguments_text", "asks_in_words", "named", "outcome_text"]

_MARK: Final = re.compile(r"<tool_call>|<function_call>|<\|python_tag\|>|\[TOOL_CALLS\]|<\|tool_call")
"""What models write before a call; a server that knows tools takes it out."""
_ARGUMENTS: Final = ("arguments", "parameters")
_DECODER: Final = json.JSONDecoder()


def arguments_of(written: object) -> dict[str, JsonValue] | None:
    """The arguments that a model wrote, as text or as the object itself; None if they are no JSON object, or no message can hold it."""
    try:
        text = written.strip() or "{}" if isinstance(written, str) else json.dumps(written)
        found: object = json.loads(text, parse_constant=_no_number, parse_int=_whole)
        json.dumps(found, ensure_ascii=False).encode()  # half a pair of surrogates
    except (TypeError, ValueError, RecursionError):
        return None
    return cast("dict[str, JsonValue]", found) if isinstance(found, dict) else None


def arguments_text(call: ToolCall) -> str:
    """What goes back to the model as its own call."""
    return json.dumps(call.arguments or {}, ensure_ascii=False)


def outcome_text(outcome: ToolOutcome) -> str:
    """What a call gave, for protocols that have no field to say that it failed."""
    return json.dumps({"error": outcome.text}, ensure_ascii=False) if outcome.failed else outcome.text


def named(calls: Sequence[ToolCall], rounds: Sequence[Round]) -> tuple[ToolCall, ...]:
    """The calls with ids that tell each from all others of the exchange: some servers give none, or the same ones again."""
    taken = {call.id for one in rounds for call in one.calls}
    found: list[ToolCall] = []
    for position, call in enumerate(calls):
        free = call.id if call.id and call.id not in taken else f"call_{len(rounds)}_{position}"
        taken.add(free)
        found.append(call if call.id == free else call.model_copy(update={"id": free}))
    return tuple(found)


def asks_in_words(text: str, tools: Sequence[ToolSpec]) -> bool:
    """Whether a reply asks for a tool in a way that its server should have read, and has not."""
    begin = text.find("{")
    if _MARK.search(text[: begin if begin >= 0 else None]):
        return True
    try:
        first: dict[str, JsonValue] = _DECODER.raw_decode(text, begin)[0] if begin >= 0 else {}
    except (ValueError, RecursionError):
        return False
    return first.get("name") in {tool.name for tool in tools} and not first.keys().isdisjoint(_ARGUMENTS)


def _whole(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**64:
        raise ValueError("a whole number of more than 64 bits")
    return number


def _no_number(constant: str) -> JsonValue:
    raise ValueError(constant)  # NaN and Infinity are no JSON
