"""Plain text and reStructuredText: paragraphs between blank lines, with their lines."""

import re

from stretto.shared.memory.elements import Element, Outline, visible
from stretto.shared.memory.readers.encoding import decode

__all__ = ["read_plain", "read_rst"]

_ADORNMENT = re.compile(r"([=\-`:'\"~^_*+#<>.])\1*$")


def read_plain(data: bytes) -> list[Element]:
    """The paragraphs of a plain text.

    Raises:
        Unreadable: these bytes are no text.
    """
    outline = Outline("line")
    _paragraphs(outline, visible(decode(data)).split("\n"), 1)
    return outline.elements()


def read_rst(data: bytes) -> list[Element]:
    """The paragraphs of a reStructuredText under its titles, whose levels follow from the order in which their underlines first appear.

    Raises:
        Unreadable: these bytes are no text.
    """
    lines = visible(decode(data)).split("\n")
    outline = Outline("line")
    styles: list[str] = []
    start = at = 0
    while at + 1 < len(lines):
        title, style, length = _title(lines, at)
        if not style:
            at += 1
            continue
        _paragraphs(outline, lines[start:at], start + 1)
        if style not in styles:
            styles.append(style)
        outline.heading(styles.index(style) + 1, title, at + 1)
        start = at = at + length
    _paragraphs(outline, lines[start:], start + 1)
    return outline.elements()


def _title(lines: list[str], at: int) -> tuple[str, str, int]:
    """The title that begins at this line, its style and how many lines it takes; an empty style where none does."""
    if at and lines[at - 1].strip():
        return "", "", 0
    over, title, under = lines[at], lines[at + 1].strip(), lines[at + 2] if at + 2 < len(lines) else ""
    if _ADORNMENT.match(over) and over == under and len(over) >= len(title) > 0:
        return title, over[0] * 2, 3
    title, under = lines[at].rstrip(), lines[at + 1]
    if title.strip() and not title[0].isspace() and _ADORNMENT.match(under) and len(under) >= max(len(title), 3):
        return title, under[0], 2
    return "", "", 0


def _paragraphs(outline: Outline, lines: list[str], first: int) -> None:
    paragraph: list[str] = []
    for number, line in enumerate([*lines, ""], first):
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            verbatim = all(one[0].isspace() for one in paragraph)
            outline.add("\n".join(paragraph), number - len(paragraph), "lines" if verbatim else "prose")
            paragraph = []
