"""Prompt: a text for a model, kept as one Jinja template a file."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

__all__ = ["render_prompt"]


def render_prompt(name: str, *, package: str, **values: object) -> str:
    """The template `prompts/{name}.md` of a package, filled in.

    Raises:
        FileNotFoundError: the package has no such prompt.
        jinja2.UndefinedError: the template names a value that was not given.
    """
    return _template(package, name).render(**values)


@cache
def _template(package: str, name: str) -> Template:
    text = files(package).joinpath("prompts", f"{name}.md").read_text(encoding="utf-8")
    # Prompts are plain text for a model, never HTML.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701
    return environment.from_string(text)
