"""Names of tools, as every provider of models takes them."""

import re
from typing import Final

__all__ = ["check_tool_name"]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_tool_name(name: str) -> str:
    """The name, if a tool can have it.

    Raises:
        ValueError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"there cannot be a tool called {name!r}: use 1 to 64 of a-z, A-Z, 0-9, _ and -")
    return name
