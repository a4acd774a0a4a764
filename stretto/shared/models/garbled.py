"""Garbled: what a server sent is not of its protocol. The SDKs take what comes without checking it."""

import contextlib
import json
from collections.abc import Generator
from typing import Final

__all__ = ["UNREADABLE", "Garbled", "count", "reading", "word"]


class Garbled(Exception):
    """What came is not of the protocol, or ends before its end."""


UNREADABLE: Final = (Garbled, json.JSONDecodeError, UnicodeDecodeError, RecursionError)
"""What an SDK raises, or lets pass, when it cannot read what came."""


@contextlib.contextmanager
def reading() -> Generator[None]:
    """Within it, an SDK's object is read that may hold anything.

    Raises:
        Garbled: it does not hold what its type says.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Garbled(type(error).__name__) from None


def count(value: object) -> int:
    """A number of tokens; 0 where a server gives none, or something else."""
    return value if isinstance(value, int) and value > 0 else 0


def word(thing: object, name: str) -> str | None:
    """What an SDK's object has of this name; None where a server gives none, or something else than text."""
    value: object = getattr(thing, name, None)
    return value if isinstance(value, str) else None
