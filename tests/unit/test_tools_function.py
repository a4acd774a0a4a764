"""@tool: schemas from signatures, descriptions from docstrings, and what a function gets and gives."""

import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, JsonValue

from stretto.shared.tools.errors import ToolArgumentsWrong, ToolResultWrong
from stretto.shared.tools.function import FunctionTool, tool
from stretto.shared.tools.protocol import Tool
from stretto.shared.tools.schema import check_arguments, check_schema, mismatch


class Line(BaseModel):
    item: str
    cents: Annotated[int, Field(gt=0)]


@tool
async def order(
    lines: list[Line], due: date, schema: Literal["fast", "slow"] = "slow", title: str | None = None
) -> dict[str, str]:
    """Order things.

    They come by post.

    Args:
        lines: what is ordered.
        title: how the order is called.
    """
    return {"due": due.isoformat(), "first": lines[0].item, "schema": schema, "title": title or "none"}


GIVEN: dict[str, JsonValue] = {"lines": [{"item": "pen", "cents": 120}], "due": "2026-03-01"}


def test_schema_and_description_come_from_the_signature_and_the_docstring() -> None:
    assert order.name == "order"
    assert order.effects == "none"
    assert order.description == "Order things.\n\nThey come by post."
    assert order.output_schema == {"type": "object", "additionalProperties": {"type": "string"}}
    assert order.schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["lines", "due"],
        "properties": {
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "description": "what is ordered."},
            "due": {"type": "string", "format": "date"},
            "schema": {"type": "string", "enum": ["fast", "slow"], "default": "slow"},
            "title": {
                "anyOf": [{"type": "string"}, {"type": "null"}],
                "default": None,
                "description": "how the order is called.",
            },
        },
        "$defs": {
            "Line": {
                "type": "object",
                "required": ["item", "cents"],
                "properties": {"item": {"type": "string"}, "cents": {"type": "integer", "exclusiveMinimum": 0}},
            }
        },
    }
    check_schema(order.schema)


async def test_arguments_arrive_with_the_types_of_the_signature() -> None:
    as_tool: Tool = order
    assert await as_tool.call(GIVEN, key="k") == {
        "due": "2026-03-01",
        "first": "pen",
        "schema": "slow",
        "title": "none",
    }
    assert (await order([Line(item="cup", cents=1)], date(2026, 1, 1)))["first"] == "cup"


async def test_a_sync_function_runs_in_a_thread_and_gets_the_key_if_it_takes_it() -> None:
    @tool(effects="keyed", name="pay_out")
    def pay(cents: int, key: str) -> list[str]:
        """Pay."""
        return [str(cents), key, str(threading.current_thread() is threading.main_thread())]

    assert (pay.name, pay.effects) == ("pay_out", "keyed")
    assert pay.schema["properties"] == {"cents": {"type": "integer"}}
    assert await pay.call({"cents": 5}, key="k-1") == ["5", "k-1", "False"]
    assert pay.named("other").name == "other"


async def test_what_the_schema_cannot_say_is_checked_too_and_nothing_is_called() -> None:
    called: list[str] = []

    @tool
    def meet(day: date) -> str:
        """Meet."""
        called.append(day.isoformat())
        return "met"

    check_arguments(meet, {"day": "no day"})
    with pytest.raises(ToolArgumentsWrong, match=r"meet, which was not called: day: ") as caught:
        await meet.call({"day": "no day"}, key="")
    assert "no day" not in str(caught.value)
    assert not called


async def test_a_result_of_another_type_is_refused() -> None:
    @tool
    def count() -> int:
        """Count."""
        return "many"  # type: ignore[return-value]  # that is the point

    with pytest.raises(ToolResultWrong, match="count returned what it did not promise"):
        await count.call({}, key="")


def undocumented(a: int) -> int:
    return a


def untyped(a) -> int:  # type: ignore[no-untyped-def]  # that is the point
    """Do."""
    return int(a)


def many(*a: int) -> int:
    """Do."""
    return sum(a)


def odd(a: threading.Thread) -> int:
    """Do."""
    return 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (undocumented, "no docstring"),
        (untyped, "'a' has no type"),
        (many, "cannot be given by its name"),
        (odd, "JSON cannot say"),
    ],
)
def test_a_function_that_can_be_no_tool_is_refused_when_it_is_decorated(function: Callable[..., Any], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        FunctionTool(function)


SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "days": {"type": "array", "items": {"type": "integer", "maximum": 7}},
        "unit": {"enum": ["C", "F"]},
    },
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"city": "Ulm"}, ""),
        ({}, "the whole: city is missing"),
        ({"city": 4}, "city: it must be of type string"),
        ({"city": "U"}, "city: minLength must be 2"),
        ({"city": "Ulm", "days": [1, 9]}, "days.1: maximum must be 7"),
        ({"city": "Ulm", "unit": "secret"}, 'unit: enum must be ["C", "F"]'),
        ({"city": "Ulm", "secret": 1}, "the whole: it has a name that is not known: there is city, days, unit"),
        ([], "the whole: it must be of type object"),
    ],
)
def test_a_mismatch_says_where_and_what_but_not_the_value(value: JsonValue, told: str) -> None:
    assert mismatch(SCHEMA, value) == told


def test_a_foreign_schema_fetches_nothing() -> None:
    foreign: dict[str, JsonValue] = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}}
    assert mismatch(foreign, {"a": 1}) == "the tool's schema refers to what is not in it"


def test_a_schema_that_never_ends_ends() -> None:
    assert mismatch({"$ref": "#"}, {}) == "it is nested too deep to be checked"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["city", "days", "x"]), inner),
    max_leaves=8,
)


@given(VALUES)
def test_whatever_comes_is_either_fit_or_told_apart_in_few_words(value: JsonValue) -> None:
    told = mismatch(SCHEMA, value)
    fits = (
        isinstance(value, dict)
        and set(value) <= {"city", "days"}
        and isinstance(value.get("city"), str)
        and len(str(value["city"])) >= 2
        and (
            "days" not in value
            or (
                isinstance(value["days"], list)
                and all(isinstance(one, int) and not isinstance(one, bool) and one <= 7 for one in value["days"])
            )
        )
    )
    assert (told == "") is fits
    assert len(told) < 2_000


async def test_the_functions_of_the_documentation_are_tools() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
    block = text.partition("```python\n")[2].partition("```")[0]
    module: dict[str, Any] = {}
    exec(compile(block, "finance.py", "exec"), module)  # noqa: S102 (our own documentation)
    refund, rate = module["refund"], module["exchange_rate"]
    assert await rate.call({"currency": "USD"}, key="") == 1.17
    assert await refund.call({"order": "o-1", "cents": 5}, key="k") == "paid 5 for o-1, once for k"
    assert mismatch(refund.schema, {"order": "o-1", "cents": 0}) == "cents: exclusiveMinimum must be 0"
