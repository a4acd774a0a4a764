"""Terminal: what may be written to one."""

import re
import sys

__all__ = ["printable", "say", "without_credentials"]

# Texts come from documents and from other people's agents: an escape sequence in them would speak to the terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text without control characters (line feeds and tabs stay)."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def say(text: str) -> None:
    """A line for the person at stderr."""
    print(printable(text), file=sys.stderr, flush=True)  # noqa: T201 (the command's own output)


def without_credentials(url: str) -> str:
    """The address without user and password."""
    return re.sub(r"[^/,@]*@", "", url)
