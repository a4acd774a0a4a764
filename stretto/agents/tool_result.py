"""Tool results: made fit to be recorded and read: without invisible characters, and within their size."""

import json
from typing import Final

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from stretto.shared.memory.elements import visible
from stretto.shared.tools.errors import ToolResultWrong
from stretto.shared.tools.limits import Keep, ToolLimits

__all__ = ["checked", "fitted", "seen", "text_of"]

_JSON: Final[TypeAdapter[JsonValue]] = TypeAdapter(JsonValue, config=ConfigDict(allow_inf_nan=False))

_LARGEST: Final = 2**63
_BESIDE_BYTES: Final = 200
"""For what stands around the beginning of a long result."""


def checked(result: object) -> JsonValue:
    """What a tool returned, if JSON can say it.

    Raises:
        ToolResultWrong: it cannot.
    """
    try:
        return _JSON.validate_python(result)
    except (ValidationError, RecursionError) as error:
        raise ToolResultWrong("it returned what JSON cannot say") from error


def seen(result: JsonValue) -> JsonValue:
    """The result without the characters that people do not see: they could carry instructions to a model. Whole numbers that no message can
    carry become text."""
    match result:
        case str():
            return visible(result)
        case list():
            return [seen(one) for one in result]
        case dict():
            return {visible(name): seen(one) for name, one in result.items()}
        case int() if not -_LARGEST <= result < _LARGEST:
            return str(result)
        case _:
            return result


async def fitted(result: JsonValue, limits: ToolLimits, keep: Keep | None) -> JsonValue:
    """The result, if it is short enough; else its beginning with a mark.

    Text stays text, and ends with the mark. Anything else becomes `{"cut": beginning, "size_bytes": of the whole}`. With `over =
    "artifact"` it is `{"artifact": sha256, "size_bytes": of the whole, "beginning": ...}`, where `keep` has stored the whole.
    """
    data = text_of(result).encode()
    if len(_json(result)) <= limits.size_limit_bytes:
        return result
    size_bytes = len(data)
    if limits.over == "artifact" and keep is not None:
        ref = await keep(data)
        begins = _beginning(data, limits.size_limit_bytes - _BESIDE_BYTES)
        return {"artifact": ref.sha256, "size_bytes": ref.size_bytes, "beginning": begins}
    if isinstance(result, str):
        mark = f"\n[cut here: the first part of {size_bytes} bytes]"
        return _beginning(data, limits.size_limit_bytes - len(_json(mark))) + mark
    return {"cut": _beginning(data, limits.size_limit_bytes - _BESIDE_BYTES), "size_bytes": size_bytes}


def text_of(result: JsonValue) -> str:
    """A result as a model reads it."""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def _json(result: JsonValue) -> bytes:
    return json.dumps(result, ensure_ascii=False).encode()


def _beginning(data: bytes, size_bytes: int) -> str:
    """So much text that it is no longer than `size_bytes` as JSON, which writes some characters in two or six."""
    text = data[: max(0, size_bytes)].decode(errors="ignore")
    while text and (over := len(_json(text)) - 2 - max(0, size_bytes)) > 0:
        text = text[: -max(1, over // 6)]
    return text
