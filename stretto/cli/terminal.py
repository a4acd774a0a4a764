"""Terminal: what may be written to one."""

import re
import shutil
import sys
import textwrap

__all__ = ["printable", "say", "show"]

# Texts come from documents and from other people's agents: an escape sequence in them would speak to the terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text without control characters (line feeds and tabs stay)."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def say(text: str) -> None:
    """A line for the person at stderr."""
    print(printable(text), file=sys.stderr, flush=True)  # noqa: T201 (the command's own output)


def show(text: str) -> None:
    """A text on stdout: in whole lines for programs, broken between words for a person's terminal."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(_wrapped(line, width) for line in text.split("\n"))
    print(text, flush=True)  # noqa: T201 (the command's own output)


def _wrapped(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    if len(line) <= width:
        return line
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
