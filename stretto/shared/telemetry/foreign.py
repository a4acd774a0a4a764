"""foreign: names and ids that another party's server gives, which may hold anything."""

import re
from typing import Final

__all__ = ["foreign"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")


def foreign(given: str | None) -> str:
    """What was given, if it looks like a name or an id; else nothing."""
    return given if given is not None and _NAME.fullmatch(given) else ""
