"""Schema: an output type as the JSON schema that providers can enforce, where it can be said in their part of the language."""

from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel

__all__ = ["JsonSchema", "plain_schema", "strict_schema"]

JsonSchema = dict[str, Any]

_STRUCTURE: Final = {
    "$ref",
    "$defs",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "oneOf",
    "allOf",
}
_VALUES: Final = ("enum", "const", "description")
_DROPPED: Final = {"title", "default", "examples", "discriminator", "deprecated"}
_UNSAYABLE: Final = {
    "prefixItems",
    "patternProperties",
    "propertyNames",
    "not",
    "if",
    "contains",
    "unevaluatedProperties",
}


class _Unsayable(Exception):
    """The type needs what providers do not enforce."""


@lru_cache(maxsize=256)
def plain_schema(output_type: type[BaseModel]) -> JsonSchema:
    """The whole JSON schema of the type. Shared: not to be changed."""
    return output_type.model_json_schema()


@lru_cache(maxsize=256)
def strict_schema(output_type: type[BaseModel]) -> JsonSchema | None:
    """The schema that every provider's strict mode takes, or None where the type cannot be said in it: maps with free keys, any value.

    All objects are closed and all their fields required. Limits on numbers, texts and lengths, which not every provider enforces, stand
    in the descriptions, where the model reads them: what comes back has to be validated in any case. Shared: not to be changed.
    """
    plain = plain_schema(output_type)
    definitions: JsonSchema = plain.get("$defs", {})
    root = {name: value for name, value in plain.items() if name != "$defs"}
    if "$ref" in root:  # a type that contains itself
        root = definitions[root["$ref"].removeprefix("#/$defs/")]
    if root.get("type") != "object":
        return None
    try:
        strict = _strict(root)
        if definitions:
            strict["$defs"] = {name: _strict(one) for name, one in definitions.items()}
    except _Unsayable:
        return None
    return strict


def _strict(schema: JsonSchema) -> JsonSchema:
    if schema.keys() & _UNSAYABLE:
        raise _Unsayable
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    strict: JsonSchema = {name: schema[name] for name in _VALUES if name in schema}
    variants = schema.get("anyOf") or schema.get("oneOf")
    if variants:
        strict["anyOf"] = [_strict(one) for one in variants]
    elif "allOf" in schema:
        raise _Unsayable
    elif "type" in schema:
        strict |= _typed(schema)
    elif "enum" not in schema and "const" not in schema:
        raise _Unsayable
    _describe_rest(strict, schema)
    return strict


def _typed(schema: JsonSchema) -> JsonSchema:
    match schema["type"]:
        case "object":
            if schema.get("additionalProperties") not in (None, False) or "properties" not in schema:
                raise _Unsayable
            properties = {name: _strict(one) for name, one in schema["properties"].items()}
            return {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
        case "array":
            if "items" not in schema:
                raise _Unsayable
            return {"type": "array", "items": _strict(schema["items"])}
        case kind:
            return {"type": kind}


def _describe_rest(strict: JsonSchema, schema: JsonSchema) -> None:
    rest = {name: one for name, one in schema.items() if name not in _STRUCTURE | set(_VALUES) | _DROPPED}
    if rest:
        limits = ", ".join(f"{name}: {one}" for name, one in rest.items())
        strict["description"] = f"{strict.get('description', '')} ({limits})".strip()
