"""The messages as JSON Schema: one bundle of definitions, in which the docstrings' attribute lists describe the properties."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import stretto.bus
import stretto.shared.contracts
from stretto.bus.envelope import Envelope
from stretto.bus.message import Message, Value

__all__ = ["bundle", "messages", "parts"]

_ATTRIBUTES = "\n\nAttributes:\n"


def messages() -> list[type[Message]]:
    """Every message, by name of its type."""
    return sorted(_models(Message), key=lambda one: one.TYPE)


def parts() -> list[type[Value]]:
    """Everything else that messages are made of, or that agents take and return, by name."""
    others = [one for one in _models(Value) if not issubclass(one, Message | Envelope)]
    return sorted(others, key=lambda one: one.__name__)


def bundle() -> dict[str, Any]:
    """One schema with the envelope, all messages and all parts in its `$defs`."""
    models: list[type[BaseModel]] = [Envelope, *messages(), *parts()]
    _, schema = models_json_schema([(one, "validation") for one in models], title="Stretto's protocol")
    by_name = {one.__name__: one for one in models}
    definitions = {
        name: _described(definition, by_name.get(name)) for name, definition in sorted(schema["$defs"].items())
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": schema["title"], "$defs": definitions}


def _models(base: type[Value]) -> list[type[Any]]:
    for package in (stretto.bus, stretto.shared.contracts):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return [one for one in _below(base) if one.__module__.startswith(("stretto.bus.", "stretto.shared.contracts."))]


def _below(base: type[Any]) -> Iterable[type[Any]]:
    for one in base.__subclasses__():
        if one is not Message:
            yield one
        yield from _below(one)


def _described(definition: dict[str, Any], model: type[BaseModel] | None) -> dict[str, Any]:
    """The definition without generated titles, and with each property described in the words of the docstring."""
    definition.pop("title", None)
    properties: dict[str, dict[str, Any]] = definition.get("properties", {})
    for one in properties.values():
        one.pop("title", None)
    if model is not None:
        summary, _, attributes = inspect.cleandoc(model.__doc__ or "").partition(_ATTRIBUTES)
        definition["description"] = _one_line(summary)
        for name, text in _attribute_texts(attributes, set(properties)):
            properties[name]["description"] = text
    return definition


def _attribute_texts(attributes: str, names: set[str]) -> Iterable[tuple[str, str]]:
    """Names and texts of lines such as `id: unique`, `tenant, run: whose and which` and `type: what; version: which`."""
    for entry in re.split(r"\n    (?=\S)", "\n" + attributes)[1:]:
        name_list = r"`?[a-z_]+`?(?:, [a-z_]+)*"
        for one in re.split(rf"; (?={name_list}: )", _one_line(entry)):
            head, _, text = one.partition(": ")
            yield from ((name, text) for name in head.replace("`", "").split(", ") if name in names)


def _one_line(text: str) -> str:
    return " ".join(text.split())
