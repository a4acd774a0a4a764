"""Plain: a quote as people read it, without the marks of Markdown or reStructuredText, and as a sentence of its own."""

import re

__all__ = ["plain_text", "sentence_of"]

_FENCED = re.compile(r"^[ \t]*(?:```+|~~~+)[^\n]*\n?|\n?[ \t]*(?:```+|~~~+)[ \t]*$", re.MULTILINE)
_CODE_DIRECTIVE = re.compile(r"^[ \t]*\.\. [\w-]+::[^\n]*\n(?:[ \t]+:[\w-]+:[^\n]*\n)*", re.MULTILINE)
_MARKS = (
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),  # image
    (re.compile(r"\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),  # link
    (re.compile(r"[:{][\w:.-]+[:}]`~?([^`<]+?)(?:\s*<[^`>]*>)?`"), r"\1"),  # role
    (re.compile(r"`([^`<]+?)\s*<[^`>]+>`_{1,2}"), r"\1"),  # reStructuredText link
    (re.compile(r"``([^`]+)``"), r"`\1`"),
    (re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])[*](?=[^\s*])([^*\n]+?)(?<=\S)[*](?![\w*])"), r"\1"),
    (re.compile(r"\b(\w+)_(?=[\s.,;:)]|$)"), r"\1"),  # reStructuredText reference
    (re.compile(r"\[\^[\w-]+\]"), ""),  # footnote
)
_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|#\.)[ \t]+", re.MULTILINE)
_ROW = re.compile(r"^\s*\|(.*)\|\s*$")


def plain_text(quote: str) -> str:
    """The quote without marks; code that follows a sentence stands on lines of its own, one line of code in backticks."""
    prose, code = _split_code(quote)
    if row := _ROW.match(prose):
        prose = ", ".join(cell.strip() for cell in row[1].split("|") if cell.strip())
    for pattern, by in _MARKS:
        prose = pattern.sub(by, prose)
    items = _ITEM.split(prose)
    prose = " ".join("; ".join(" ".join(item.split()).rstrip(";") for item in items if item.strip()).split())
    prose = prose.replace(":;", ":").replace("::", ":")
    if not code:
        return prose
    lines = code.splitlines()
    shown = f"`{lines[0].strip().removeprefix('$ ')}`" if len(lines) == 1 else f"\n{code}\n"
    return f"{prose} {shown}".strip(" ")


def sentence_of(quote: str) -> str:
    """The quote as a sentence that can stand in a text: plain, and with an end."""
    text = plain_text(quote)
    if text.endswith("\n"):
        return text
    if text.endswith(":"):
        text = text[:-1]
    return text if re.search(r"[.!?…][\"'\u201d\u2019)\]]*$", text) else f"{text}."


def _split_code(quote: str) -> tuple[str, str]:
    """What stands before the code in a quote, and the code without its fence and common indent."""
    opening = _FENCED.search(quote) or _CODE_DIRECTIVE.search(quote)
    if opening:
        prose, code = quote[: opening.start()], quote[opening.end() :]
    elif (literal := re.search(r":\s*\n\s*\n(?=[ \t]{2,}(?![-*+•]|\d+[.)]))", quote)) is not None:
        prose, code = quote[: literal.start() + 1], quote[literal.end() :]
    else:
        return quote, ""
    lines = [line for line in _FENCED.sub("", code).splitlines() if line.strip()]
    depth = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    return prose, "\n".join(line[depth:].rstrip() for line in lines)
