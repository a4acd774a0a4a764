"""Variables: OpenTelemetry's standard ones, read from the environment as its specification says, but with errors where it would guess.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from collections.abc import Collection, Mapping
from typing import TypeVar

from stretto.shared.settings import SettingsError

__all__ = ["Environment", "is_disabled", "listed", "number", "one_of", "said"]

Environment = Mapping[str, str]
Word = TypeVar("Word", bound=str)


def is_disabled(environ: Environment) -> bool:
    """Whether nothing of OpenTelemetry's SDK is to be set up."""
    return said(environ, "OTEL_SDK_DISABLED").lower() == "true"


def said(environ: Environment, *names: str) -> str:
    """What the first of these variables says that says anything; an empty one says nothing."""
    return next((value for name in names if (value := environ.get(name, "").strip())), "")


def one_of(environ: Environment, *names: str, known: Collection[Word], default: Word) -> Word:
    """As `said`, where only some words are known.

    Raises:
        SettingsError: another word is said.
    """
    word = said(environ, *names).lower() or default
    for one in known:
        if one == word:
            return one
    raise SettingsError(f"{_sayer(environ, names)} is {word[:80]!r}: use {_or(known)}")


def listed(environ: Environment, name: str, *, known: Collection[str]) -> tuple[str, ...]:
    """Words with commas between; nothing where nothing is said.

    Raises:
        SettingsError: one is not known.
    """
    words = tuple(word for one in said(environ, name).split(",") if (word := one.strip().lower()))
    for word in words:
        if word not in known:
            raise SettingsError(f"{name} is {word[:80]!r}: use {_or(known)}")
    return words


def number(environ: Environment, *names: str, default: float, least: float = 0.0, most: float = float("inf")) -> float:
    """As `said`, where a number is to be said.

    Raises:
        SettingsError: it is none, or under `least` or over `most`.
    """
    text = said(environ, *names)
    try:
        value = float(text) if text else default
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        span = f"at least {least:g}" if most == float("inf") else f"from {least:g} to {most:g}"
        raise SettingsError(f"{_sayer(environ, names)} is {text[:80]!r}: use a number, {span}")
    return value


def _sayer(environ: Environment, names: Collection[str]) -> str:
    return next(name for name in names if environ.get(name, "").strip())


def _or(known: Collection[str]) -> str:
    *others, last = known
    return f"{', '.join(others)} or {last}" if others else last
