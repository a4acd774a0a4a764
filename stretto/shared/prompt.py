"""Prompt: a text for a model, kept as one Jinja template a file."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Self

from jinja2 import Environment, StrictUndefined, Template

__all__ = ["Prompt", "Prompts", "parse_template", "render_prompt", "variables_of"]

_HOUSE: Final = "stretto"
_DIGEST_CHARS: Final = 12
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Prompt(str):
    """A template, filled in.

    Attributes:
        name: its package's and its own, as in `agents/writer`.
        digest: the first 12 hex digits of the template's SHA-256: it tells versions of one prompt apart.
    """

    name: str
    digest: str

    def __new__(cls, text: str, *, name: str = "", digest: str = "") -> Self:
        prompt = super().__new__(cls, text)
        prompt.name = name
        prompt.digest = digest
        return prompt


class Prompts:
    """Stretto's own prompts, and the deployment's where it has others in their place.

    Args:
        instead: templates by name, as in `agents/writer`.
    """

    def __init__(self, instead: Mapping[str, str] = _NOTHING) -> None:
        self._instead = dict(instead)

    def render(self, name: str, **values: object) -> Prompt:
        """The template of this name, filled in.

        Raises:
            FileNotFoundError: there is none of that name.
            jinja2.TemplateError: it does not go with these values.
        """
        folder, _, short = name.rpartition("/")
        text = self._instead.get(name)
        return _filled(name, _text(_package(folder), short) if text is None else text, values)


def render_prompt(name: str, *, package: str, **values: object) -> Prompt:
    """The template `prompts/{name}.md` of a package, filled in: for agents that have prompts in a package of their own.

    Raises:
        FileNotFoundError: the package has no such prompt.
        jinja2.UndefinedError: the template names a value that was not given.
    """
    folder = package.removeprefix(f"{_HOUSE}.").replace(".", "/")
    return _filled(f"{folder}/{name}", _text(package, name), values)


def parse_template(text: str) -> Template:
    """The text as a template.

    Raises:
        jinja2.TemplateSyntaxError: it is none.
    """
    return _environment().from_string(text)


def variables_of(text: str) -> frozenset[str]:
    """The values that a template names.

    Raises:
        jinja2.TemplateSyntaxError: it is none.
    """
    from jinja2.meta import find_undeclared_variables

    return frozenset(find_undeclared_variables(_environment().parse(text)))


def _filled(name: str, text: str, values: Mapping[str, object]) -> Prompt:
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARS]
    return Prompt(_template(text).render(values), name=name, digest=digest)


def _package(folder: str) -> str:
    return ".".join((_HOUSE, *folder.split("/")))


def _environment() -> Environment:
    # Prompts are plain text for a model, never HTML.
    return Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701


@cache
def _text(package: str, name: str) -> str:
    return files(package).joinpath("prompts", f"{name}.md").read_text(encoding="utf-8")


@cache
def _template(text: str) -> Template:
    return parse_template(text)
