"""Schemas for providers: closed, all required, nothing but what every strict mode takes; or none at all."""

from datetime import date
from enum import Enum
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field, JsonValue

from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.findings import Quotes
from stretto.shared.contracts.proposal import PlanProposal
from stretto.shared.contracts.review import Review
from stretto.shared.models.schema import JsonSchema, strict_schema

KNOWN = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "enum",
    "const",
    "$ref",
    "$defs",
    "description",
}


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Leaf(BaseModel):
    """A leaf."""

    kind: Literal["leaf"] = "leaf"
    size: int = Field(default=3, ge=1, le=9, description="How large.")


class Tree(BaseModel):
    kind: Literal["tree"] = "tree"
    colour: Colour | None = None
    planted: date | None = None
    branches: list["Tree | Leaf"] = Field(default_factory=list, max_length=4)


def _parts(schema: Any) -> list[JsonSchema]:
    """Every schema in a schema."""
    found: list[JsonSchema] = [schema]
    for name in ("properties", "$defs"):
        for one in schema.get(name, {}).values():
            found += _parts(one)
    for one in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        found += _parts(one)
    return found


@pytest.mark.parametrize("output_type", [Quotes, Draft, Review, Escalation, Tree])
def test_a_strict_schema_is_closed_complete_and_of_known_words(output_type: type[BaseModel]) -> None:
    schema = strict_schema(output_type)
    assert schema is not None
    for part in _parts(schema):
        assert part.keys() <= KNOWN
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])
        if "$ref" in part:
            assert part.keys() == {"$ref"}
    jsonschema.Draft202012Validator.check_schema(schema)


def test_what_fits_a_strict_schema_fits_the_type() -> None:
    tree = {"kind": "tree", "colour": "red", "planted": None, "branches": [{"kind": "leaf", "size": 2}]}
    schema = strict_schema(Tree)
    assert schema is not None
    jsonschema.validate(tree, schema)
    assert Tree.model_validate(tree).branches == [Leaf(size=2)]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tree | {"more": 1}, schema)


def test_limits_stand_where_the_model_reads_them() -> None:
    schema = strict_schema(Leaf)
    assert schema is not None
    assert schema["properties"]["size"]["description"] == "How large. (maximum: 9, minimum: 1)"
    assert schema["description"] == "A leaf."


class Anything(BaseModel):
    value: JsonValue


class FreeMap(BaseModel):
    counts: dict[str, int]


class Pair(BaseModel):
    pair: tuple[int, str]


@pytest.mark.parametrize("output_type", [PlanProposal, Anything, FreeMap, Pair])
def test_what_no_strict_mode_can_say_has_no_strict_schema(output_type: type[BaseModel]) -> None:
    assert strict_schema(output_type) is None
