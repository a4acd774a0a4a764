"""Markdown, by markdown-it-py: the source's own lines, so that a quote is found again in the file."""

import re
from typing import TYPE_CHECKING

from stretto.shared.memory.elements import Element, Outline, visible
from stretto.shared.memory.readers.encoding import decode
from stretto.shared.memory.readers.html import html_text

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["read_markdown"]

_FRONT_MATTER = re.compile(r"---[^\S\n]*\n(.*?\n)(?:---|\.\.\.)[^\S\n]*(?:\n|$)", re.DOTALL)


def read_markdown(data: bytes) -> list[Element]:
    """The blocks of a Markdown document under its headings.

    Raises:
        Unreadable: these bytes are no text.
    """
    from markdown_it import MarkdownIt

    text = visible(decode(data))
    outline = Outline("line")
    skipped = 0
    front = _FRONT_MATTER.match(text)
    if front:
        outline.add(front[1], 2, "lines")
        skipped = front[0].count("\n")
        text = text[front.end() :]
    lines = text.split("\n")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for at, token in enumerate(tokens):
        if token.level or token.map is None:
            continue
        start, end = token.map
        number = start + 1 + skipped
        source = "\n".join(lines[start:end])
        match token.type:
            case "heading_open":
                outline.heading(int(token.tag[1]), _plain(tokens[at + 1]), number)
            case "html_block":
                outline.add(html_text(source), number)
            case "fence" | "code_block" | "bullet_list_open" | "ordered_list_open":
                outline.add(source, number, "lines")
            case "table_open":
                outline.add(source, number, "table")
            case "hr":
                pass
            case _:
                outline.add(source, number)
    return outline.elements()


def _plain(inline: "Token") -> str:
    """A heading's words without its marks."""
    return "".join(" " if child.type == "softbreak" else child.content for child in inline.children or [])
