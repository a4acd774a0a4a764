"""Schema: whether arguments and results of tools are what the tools' JSON Schemas say."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic import JsonValue

from stretto.shared.tools.errors import ToolArgumentsWrong, ToolResultWrong
from stretto.shared.tools.protocol import Tool

__all__ = ["check_arguments", "check_result", "check_schema", "mismatch"]

_SHOWN: Final = 5
_NAME: Final = re.compile(r"[\w-]{1,40}")
_MAX_CHARS: Final = 200
_QUIET: Final = {"anyOf", "oneOf", "allOf", "not", "if", "$ref", "contains", "dependentSchemas", "propertyNames"}
"""Keywords whose value is a schema: it would fill the page."""


def check_arguments(tool: Tool, arguments: Mapping[str, JsonValue]) -> None:
    """Raises ToolArgumentsWrong, which says where, when the arguments do not fit."""
    wrong = mismatch(tool.schema, dict(arguments))
    if wrong:
        raise ToolArgumentsWrong(f"the arguments do not fit {tool.name}, which was not called: {wrong}")


def check_result(tool: Tool, result: JsonValue) -> None:
    """Raises ToolResultWrong, which says where, when the result does not fit."""
    wrong = mismatch(tool.output_schema, result) if tool.output_schema is not None else ""
    if wrong:
        raise ToolResultWrong(f"{tool.name} returned what it did not promise: {wrong}")


def check_schema(schema: Mapping[str, JsonValue]) -> None:
    """Raises ValueError when it is no JSON Schema (draft 2020-12, unless `$schema` says another) of an object."""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(schema, default=Draft202012Validator).check_schema(dict(schema))
    except SchemaError as error:
        raise ValueError(f"{_place(error.absolute_path)}: {error.message[:_MAX_CHARS]}") from error
    if schema.get("type") != "object":
        raise ValueError("arguments must be of type object")


def mismatch(schema: Mapping[str, JsonValue], value: JsonValue) -> str:
    """Where and how the value does not fit, without the value itself; empty where it fits."""
    from referencing.exceptions import Unresolvable

    try:
        errors = list(_validator(json.dumps(schema)).iter_errors(value))
    except Unresolvable:
        return "the tool's schema refers to what is not in it"
    except RecursionError:
        return "it is nested too deep to be checked"
    errors.sort(key=lambda one: [str(step) for step in one.absolute_path])
    told = [f"{_place(one.absolute_path)}: {_told(one)}" for one in errors[:_SHOWN]]
    more = [f"and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
    return "; ".join((*told, *more))


@lru_cache(maxsize=512)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing import Registry

    parsed: Any = json.loads(schema)
    # The empty registry: a schema that somebody else wrote must not make us fetch what it refers to.
    return validator_for(parsed, default=Draft202012Validator)(parsed, registry=Registry())


def _place(path: Iterable[str | int]) -> str:
    """Keys of free maps are content too: only what looks like a name is shown."""
    steps = [str(one) if isinstance(one, int) or _NAME.fullmatch(one) else "?" for one in path]
    return ".".join(steps) or "the whole"


def _told(error: Any) -> str:
    """What is expected, in the schema's own words; the message of the library would show the value."""
    keyword, expected = str(error.validator), error.validator_value
    match keyword:
        case "type":
            kinds: list[str] = [expected] if isinstance(expected, str) else list(expected)
            return f"it must be of type {' or '.join(kinds)}"
        case "required":
            missing = [one for one in expected if one not in error.instance]
            return f"{', '.join(missing)} is missing"
        case "additionalProperties" if expected is False:
            known = ", ".join(error.schema.get("properties", {})) or "nothing"
            return f"it has a name that is not known: there is {known}"
        case _ if keyword in _QUIET:
            return f"it does not fit what stands under {keyword}"
        case _:
            return f"{keyword} must be {json.dumps(expected, ensure_ascii=False)[:_MAX_CHARS]}"
