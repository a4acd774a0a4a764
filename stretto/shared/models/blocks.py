"""Block: a run of lines of one kind (prose, list item, table row, code, heading) in Markdown, reStructuredText or plain text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["Block", "BlockKind", "blocks_of"]

BlockKind = Literal["prose", "item", "row", "code", "heading"]

_FENCE = re.compile(r"\s*(```+|~~~+)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s")
_UNDERLINE = re.compile(r"\s*([=\-~^\"'`*+#.:])\1{2,}\s*$")
_RULE = re.compile(r"\s*(?:[-*_]\s*){3,}$|\s*\+[-=+]{3,}\s*$|\s*\|?[\s:|-]*-{2,}[\s:|-]*\|?\s*$|\s*=+(?:\s+=+)+\s*$")
_ITEM = re.compile(r"(\s*)(?:[-*+•]|\(?\d{1,3}[.)]|#\.|[a-z][.)])\s+(?=\S)")
_ROW = re.compile(r"\s*\|.*\|\s*$")
_DIRECTIVE = re.compile(r"\s*(?:\.\.\s|\.\.$|:[\w-]+:(?:\s|$)(?!`)|<!--|:::|\{%)")
_LITERAL = re.compile(r"\s*\.\.\s+(?:code|code-block|sourcecode|parsed-literal|literalinclude)::")
_CODE_LINE = re.compile(
    r"^\s*(?:[$>@]|>>>|\.\.\. |def |class |import |from \S+ import|return\b|raise |await |async |for .*:$|if .*:$|else:|try:|with .*:$"
    r"|[\w.\[\]'\"]+ ?[-+]?= ?\S|[\w.]+\(.*\)?,?$|[)\]}]+,?$|\{%|\{\{|</?\w+)"
)
_ADORNMENT = re.compile(
    r"\s*(?:\[?!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])(?:\]\([^)]*\)|\]\[[^\]]*\])?\s*)+$|\s*<[^>]+>\s*$|\s*\[[^\]]+\]:\s+\S+"
)


@dataclass(frozen=True, slots=True)
class Block:
    """`text[start:end]`, without the marks of its kind where they stand at its ends.

    Attributes:
        head: for a table's row the head of the table.
    """

    start: int
    end: int
    kind: BlockKind
    head: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    text: str

    @property
    def indent(self) -> int:
        return len(self.text) - len(self.text.lstrip())

    @property
    def blank(self) -> bool:
        return not self.text.strip()

    @property
    def end(self) -> int:
        return self.start + len(self.text.rstrip())


def blocks_of(text: str) -> list[Block]:
    """The blocks of a text in order; blank lines, rules, images, comments and directives belong to none."""
    lines = list(_lines(text))
    blocks: list[Block] = []
    position = 0
    while position < len(lines):
        taken, block = _block_at(lines, position, blocks[-1] if blocks else None, text)
        if block is not None and block.start < block.end:
            blocks.append(block)
        position += taken
    return blocks


def _lines(text: str) -> Iterator[_Line]:
    start = 0
    for line in text.splitlines(keepends=True):
        yield _Line(start, line.rstrip("\r\n"))
        start += len(line)


def _block_at(lines: list[_Line], at: int, before: Block | None, text: str) -> tuple[int, Block | None]:
    """How many lines to take, and the block in them, if any."""
    line = lines[at]
    if line.blank:
        return 1, None
    if fence := _FENCE.match(line.text):
        return _fenced(lines, at, fence[1])
    if _LITERAL.match(line.text):
        return _literal(lines, at)
    if _HEADING.match(line.text):
        return 1, Block(line.start + line.indent, line.end, "heading")
    if at + 1 < len(lines) and _UNDERLINE.match(lines[at + 1].text) and not _ROW.match(line.text) and line.indent == 0:
        return 2, Block(line.start, line.end, "heading")
    if _ROW.match(line.text) and not _RULE.match(line.text):
        is_head = at + 1 < len(lines) and _RULE.match(lines[at + 1].text) is not None
        if is_head:
            return 2, None
        return 1, Block(line.start + line.indent, line.end, "row", _table_head(lines, at))
    if _RULE.match(line.text) or _DIRECTIVE.match(line.text) or _ADORNMENT.match(line.text):
        return 1, None
    if item := _ITEM.match(line.text):
        end = _run(lines, at + 1, deeper_than=len(item[1]))
        return end - at, Block(line.start + item.end(), lines[end - 1].end, "item")
    if line.indent >= 2 and _opens_code(before, text):
        return _indented(lines, at)
    end = _run(lines, at + 1, deeper_than=-1)
    if all(_CODE_LINE.search(one.text) for one in lines[at:end]):
        return _indented(lines, at) if line.indent else (end - at, Block(line.start, lines[end - 1].end, "code"))
    quote = re.match(r"\s*>\s?", line.text)
    return end - at, Block(line.start + (quote.end() if quote else line.indent), lines[end - 1].end, "prose")


def _run(lines: list[_Line], at: int, *, deeper_than: int) -> int:
    """Where the paragraph that began before line `at` ends."""
    while at < len(lines):
        line = lines[at]
        starts_other = any(one.match(line.text) for one in (_FENCE, _HEADING, _ITEM, _ROW, _DIRECTIVE))
        if line.blank or starts_other or (deeper_than >= 0 and line.indent <= deeper_than and lines[at - 1].blank):
            return at
        if at + 1 < len(lines) and _UNDERLINE.match(lines[at + 1].text):
            return at
        at += 1
    return at


def _fenced(lines: list[_Line], at: int, mark: str) -> tuple[int, Block | None]:
    close = at + 1
    while close < len(lines) and not lines[close].text.strip().startswith(mark):
        close += 1
    inner = [line for line in lines[at + 1 : close] if not line.blank]
    block = Block(inner[0].start, inner[-1].end, "code") if inner else None
    return min(close, len(lines) - 1) - at + 1, block


def _literal(lines: list[_Line], at: int) -> tuple[int, Block | None]:
    """The body of a reStructuredText code directive: all deeper lines, without its options."""
    first = at + 1
    while first < len(lines) and (lines[first].blank or re.match(r"\s+:[\w-]+:", lines[first].text)):
        first += 1
    if first == len(lines) or lines[first].indent <= lines[at].indent:
        return 1, None
    taken, block = _indented(lines, first)
    return first - at + taken, block


def _indented(lines: list[_Line], at: int) -> tuple[int, Block | None]:
    depth = lines[at].indent
    end = at
    while end < len(lines) and (lines[end].blank or lines[end].indent >= depth):
        end += 1
    inner = [line for line in lines[at:end] if not line.blank]
    return end - at, Block(inner[0].start, inner[-1].end, "code")


def _opens_code(before: Block | None, text: str) -> bool:
    return before is not None and before.kind == "prose" and text[before.start : before.end].endswith(":")


def _table_head(lines: list[_Line], at: int) -> str:
    """The head of the table that line `at` stands in: the row above its rule."""
    while at > 0 and (_ROW.match(lines[at - 1].text) or _RULE.match(lines[at - 1].text)):
        at -= 1
    has_rule = at + 1 < len(lines) and _RULE.match(lines[at + 1].text) is not None
    return " ".join(lines[at].text.replace("|", " ").split()) if has_rule else ""
