"""Plain: a quote as people read it, without the marks of Markdown or reStructuredText, and as a sentence of its own."""

import re

from stretto.shared.models.blocks import blocks_of

__all__ = ["plain_text", "sentence_of"]

_MARKS = (
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),  # image
    (re.compile(r"\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),  # link
    (re.compile(r"[:{][\w:.-]+[:}]`[~!]?([^`<]+?)(?:\s*<[^`>]*>)?`"), r"\1"),  # role
    (re.compile(r"`([^`<]+?)\s*<[^`>]+>`_{1,2}"), r"\1"),  # reStructuredText link
    (re.compile(r"``([^`]+)``"), r"`\1`"),
    (re.compile(r"`([^`]+)`_{1,2}(?!\w)"), r"\1"),  # reStructuredText reference
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"), r"\1"),
    (re.compile(r"(?<![\w*])[*](?=[^\s*])([^*\n]+?)(?<=\S)[*](?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w`_.])([A-Za-z]\w*[A-Za-z0-9])_(?=[\s.,;:)]|$)"), r"\1"),  # reStructuredText reference
    (re.compile(r"\[\^[\w-]+\]"), ""),  # footnote
)


def plain_text(quote: str) -> str:
    """The quote without marks.

    Prose and list items stand in one line; one line of code stands in backticks, more lines keep their lines and their relative indent.
    """
    shown = ""
    blocks = blocks_of(quote)
    for position, block in enumerate(blocks):
        text = quote[block.start : block.end]
        joint = " "
        match block.kind:
            case "code":
                text = _code(text)
                joint = "\n" if "\n" in text else " "
            case "row":
                text = ", ".join(cell.strip() for cell in _unmarked(text).split("|") if cell.strip())
                joint = "; " if position and blocks[position - 1].kind == "row" else " "
            case "item":
                text = _unmarked(text)
                joint = "; " if position and blocks[position - 1].kind == "item" else " "
            case "prose" | "heading":
                text = _unmarked(text)
        if joint == "; ":
            shown = shown.rstrip(";,.")
        shown = f"{shown}{joint}{text}" if shown else text
    return shown


def sentence_of(quote: str) -> str:
    """The quote as a sentence that can stand in a text: plain, and with an end."""
    text = plain_text(quote).strip() or quote.strip()
    if "\n" in text:
        return text
    text = text.removesuffix(":")
    return text if re.search(r"[.!?…][\"'\u201d\u2019)\]]*$", text) else f"{text}."


def _unmarked(text: str) -> str:
    for pattern, by in _MARKS:
        text = pattern.sub(by, text)
    return " ".join(text.replace("::", ":").split())


def _code(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1:
        return f"`{lines[0].strip().removeprefix('$ ')}`"
    # A quote begins at its first word, so the first line has lost its indent.
    depth = min(len(line) - len(line.lstrip()) for line in lines[1:])
    return "\n".join([lines[0].lstrip(), *(line[depth:] for line in lines[1:])])
