"""EffectFailure: an exception as far as it can travel, and back."""

import re
import sys
from typing import Any

from pydantic import BaseModel, Field, JsonValue

from stretto.bus.message import Value

__all__ = ["EffectFailed", "EffectFailure"]

_Plain = str | int | float | bool | None
_MAX_CHARS = 4_000
_HALF = re.compile("[\ud800-\udfff]")
"""Half a pair of surrogates: Python's texts may hold it, messages may not."""


class EffectFailed(Exception):
    """An effect failed with an error that is not known here, or cannot be made again.

    Attributes:
        error: the name of its class.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(f"{error}: {message}")
        self.error = error


class EffectFailure(Value):
    """What an effect raised.

    Attributes:
        error: the name of the exception's class; module: where that is defined.
        message: its text; it may hold content.
        arguments: those of the exception, if all are plain values; else the message is the only one.
        attributes: those of the exception that are plain values or, as data, models.
    """

    error: str
    module: str = ""
    message: str = ""
    arguments: tuple[_Plain, ...] | None = None
    attributes: dict[str, JsonValue] = Field(default_factory=dict)

    @classmethod
    def of(cls, error: Exception) -> "EffectFailure":
        arguments = error.args if all(_is_plain(one) for one in error.args) else None
        return cls(
            error=type(error).__qualname__,
            module=type(error).__module__,
            message=str(error)[:_MAX_CHARS].encode(errors="replace").decode(),
            arguments=arguments,
            attributes={name: _data(value) for name, value in vars(error).items() if _is_data(value)},
        )

    def rebuilt(self) -> Exception:
        """The exception again, of its own class where that is loaded in this process; else `EffectFailed`."""
        kind = self._class()
        arguments = (self.message,) if self.arguments is None else self.arguments
        try:
            # Not by calling the class: what its __init__ takes is its own affair.
            error = kind.__new__(kind, *arguments) if kind else None
        except TypeError:  # a class that is not made in this way
            error = None
        if error is None:
            return EffectFailed(self.error, self.message)
        error.args = arguments
        vars(error).update({name: value for name, value in self.attributes.items() if _is_plain(value)})
        return error

    def _class(self) -> type[Exception] | None:
        """Only of what is loaded: a message must not decide what is imported."""
        found: object = sys.modules.get(self.module)
        for name in self.error.split("."):
            found = getattr(found, name, None)
        return found if isinstance(found, type) and issubclass(found, Exception) else None


def _is_data(value: object) -> bool:
    return _is_plain(value) or isinstance(value, BaseModel)


def _data(value: Any) -> JsonValue:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_CHARS and not _HALF.search(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or (isinstance(value, float) and value - value == 0)
