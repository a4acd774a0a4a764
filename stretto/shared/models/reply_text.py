"""reply_text: an output from what a model wrote, also where it wrote more than the JSON that was asked for."""

import json
import re
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from stretto.bus.envelope import describe
from stretto.shared.models.protocol import Output

__all__ = ["Unfit", "read_output"]

_THOUGHTS: Final = re.compile(r"<think>.*?</think>", re.DOTALL)
_CANDIDATES: Final = 16
"""How many braces of a long text are tried: each may be read to the text's end."""
_DECODER: Final = json.JSONDecoder()


class Unfit(Exception):
    """The text holds no such output.

    Attributes:
        problem: what is wrong, for the model that is asked to mend it: it may name what the model wrote.
        kinds: the same for everybody else: the output's own field names and pydantic's names for what is wrong with them.
    """

    def __init__(self, problem: str, kinds: str) -> None:
        super().__init__(kinds)
        self.problem = problem
        self.kinds = kinds


def read_output(output_type: type[Output], text: str) -> Output:
    """The first JSON object in `text` that is an `output_type`. Models wrap it in fences, in thoughts, in kind words.

    Raises:
        Unfit: there is none; it tells of the first object.
    """
    try:
        return output_type.model_validate_json(text)
    except ValidationError as error:
        first = error
    objects = 0
    for candidate in _objects(_THOUGHTS.sub("", text)):
        objects += 1
        try:
            return output_type.model_validate_json(candidate)
        except ValidationError as error:
            first = error if objects == 1 else first
    if not objects:
        raise Unfit("it holds no whole JSON object", "no JSON object")
    raise Unfit(describe(first), _kinds(output_type, first))


def _objects(text: str) -> Iterator[str]:
    """The JSON objects that stand in a text, one after another."""
    position = 0
    for _ in range(_CANDIDATES):
        start = text.find("{", position)
        if start < 0:
            return
        try:
            _, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            position = start + 1
        else:
            yield text[start:end]
            position = end


def _kinds(output_type: type[Output], error: ValidationError) -> str:
    """Where a reply does not fit, without a word of it: below its top level, places may be keys that the model made up."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    places = (
        (str(one["loc"][0]) if one["loc"] and one["loc"][0] in output_type.model_fields else "reply", one["type"])
        for one in found
    )
    return ", ".join(dict.fromkeys(f"{place}: {kind}" for place, kind in places))
