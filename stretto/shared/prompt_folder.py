"""prompt_folder: a deployment's own prompts, from a folder, checked before anything starts."""

import difflib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from jinja2 import TemplateSyntaxError

from stretto.shared.prompt import Prompts, parse_template, variables_of
from stretto.shared.settings import SettingsError

__all__ = ["known_prompts", "load_prompts"]

_FOLDERS: Final = ("agents", "supervisor")

_SAMPLES: Final[Mapping[str, object]] = {
    "again": True,
    "angle": "prices",
    "at_most": 5,
    "candidates": 2,
    "claims": 2,
    "covered": True,
    "first": 0,
    "instructions": "Write.",
    "last": 1,
    "mending": True,
    "outlined": True,
    "part": True,
    "revising": True,
}
"""Values as the agents give them, to try templates with."""


def known_prompts() -> Mapping[str, str]:
    """Stretto's own templates that a deployment may have others in place of, by name."""
    return {
        f"{folder}/{file.name.removesuffix('.md')}": file.read_text(encoding="utf-8")
        for folder in _FOLDERS
        for file in sorted(files(f"stretto.{folder}").joinpath("prompts").iterdir(), key=lambda one: one.name)
        if file.name.endswith(".md")
    }


def load_prompts(folder: Path | None) -> Prompts:
    """The deployment's prompts: what the folder holds (`agents/writer.md`), and Stretto's own for all others.

    Raises:
        SettingsError: the folder cannot be read, has a file that is no prompt's, or one that is no template or asks for a value which
            the prompt is never given, or one that does not go with the values that it is given.
    """
    if folder is None:
        return Prompts()
    if not folder.is_dir():
        raise SettingsError(f"settings: prompts: {folder} is no folder")
    known = known_prompts()
    return Prompts(dict(_read(file, folder, known) for file in sorted(folder.rglob("*.md"))))


def _read(file: Path, folder: Path, known: Mapping[str, str]) -> tuple[str, str]:
    name = file.relative_to(folder).with_suffix("").as_posix()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}.md?" if near else f"there are {', '.join(f'{one}.md' for one in known)}"
        raise SettingsError(f"settings: prompts: {file} is the file of no prompt: {meant}")
    try:
        text = file.read_text(encoding="utf-8")
        parse_template(text)
        foreign = sorted(variables_of(text) - variables_of(known[name]))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings: prompts: {file} cannot be read: {error}") from error
    except TemplateSyntaxError as error:
        raise SettingsError(f"settings: prompts: {file}, line {error.lineno}: {error.message}") from error
    if not text.strip():
        raise SettingsError(f"settings: prompts: {file} is empty: leave it out, and Stretto's own prompt is used")
    if foreign:
        given = ", ".join(sorted(variables_of(known[name]))) or "no values"
        raise SettingsError(f"settings: prompts: {file} asks for {', '.join(foreign)}: {name} is given {given}")
    _try(file, text)
    return name, text


def _try(file: Path, text: str) -> None:
    """Fill the template in, once with every condition true and once with every one false."""
    for values in (_SAMPLES, {name: type(value)() for name, value in _SAMPLES.items()}):
        try:
            parse_template(text).render(values)
        except Exception as error:  # a template is code of the deployment's: it may raise anything
            raise SettingsError(f"settings: prompts: {file} cannot be filled in: {error}") from error
