"""Sentence: one quotable span of a passage, found in prose, lists, tables and code of Markdown, reStructuredText or plain text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from stretto.shared.models.blocks import Block, blocks_of

__all__ = ["Sentence", "SentenceKind", "sentences_of"]

SentenceKind = Literal["prose", "item", "row", "code"]

MAX_SENTENCE_CHARS = 700
"""No longer span is ever quoted."""

_LEAD_IN_CHARS = 600
_END = re.compile(r"[.!?…]+[\"'\u201d\u2019)\]*_`]*(?=\s+[\"'\u201c\u2018(\[*_`]*[^\Wa-z_])|[\u3002\uff01\uff1f]+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|etc|approx|incl|resp|fig|figs|eq|sec|ch|vol|pp?|mr|mrs|ms|dr|prof|st|jr|sr|inc|ltd|co|corp|dept"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)|(?<![^\W_])[^\W\d_])\.$",
    re.IGNORECASE,
)
_BACK_REFERENCE = re.compile(
    r"(?:This|That|These|Those|It|They|He|She|Its|Their|Such|Both|Then|Otherwise|Therefore|However|Or|And|But|So"
    r"|Also|Instead|In (?:this|that) case)\b"
    r"|(?:\w+ ){1,2}(?:it|this|these|those|they|them|then)\b"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text[start:end]` of a passage.

    Attributes:
        lead: what stands before it and helps to understand it: the line above a list, a table's head; not part of the quote.
    """

    start: int
    end: int
    kind: SentenceKind
    lead: str = ""

    def of(self, text: str) -> str:
        """The exact words."""
        return text[self.start : self.end]


def sentences_of(text: str) -> list[Sentence]:
    """Every quotable span of a passage, in order.

    A line that ends with a colon is one span with the short list, table or code that it introduces; a sentence that begins with
    "This", "If it" and the like is also one span with the sentence before it. Headings are not quotable.
    """
    found: list[Sentence] = []
    blocks = blocks_of(text)
    position = 0
    while position < len(blocks):
        block = blocks[position]
        follow = _introduced(text, blocks, position)
        if block.kind == "prose":
            spans = list(_prose(text, block.start, block.end))
            if follow and spans:
                start = spans.pop().start
                end = follow[-1].end
                found += spans
                if end - start <= _LEAD_IN_CHARS:
                    found.append(Sentence(start, end, "code" if follow[0].kind == "code" else "prose"))
                else:
                    lead = " ".join(text[start : block.end].split())
                    found += [one for after in follow for one in _single(text, after, lead)]
                position += 1 + len(follow)
                continue
            found += spans
        else:
            found += _single(text, block, "")
        position += 1
    return [one for one in found if one.end - one.start <= MAX_SENTENCE_CHARS]


def _introduced(text: str, blocks: Sequence[Block], position: int) -> list[Block]:
    """The run of items, rows or code right after a block that ends with a colon."""
    block = blocks[position]
    if block.kind != "prose" or not text[block.start : block.end].rstrip("*_ ").endswith(":"):
        return []
    follow: list[Block] = []
    for after in blocks[position + 1 :]:
        if after.kind not in ("item", "row", "code") or (follow and after.kind != follow[0].kind):
            break
        follow.append(after)
        if after.kind == "code":
            break
    return follow


def _single(text: str, block: Block, lead: str) -> Iterator[Sentence]:
    match block.kind:
        case "item":
            for one in _prose(text, block.start, block.end):
                yield Sentence(one.start, one.end, "item", lead)
        case "row" | "code":
            yield Sentence(block.start, block.end, block.kind, " ".join(f"{lead} {block.head}".split()))
        case "prose":
            yield from _prose(text, block.start, block.end)
        case "heading":
            return


def _prose(text: str, start: int, end: int) -> Iterator[Sentence]:
    """Cut prose at ends of sentences, and join those that refer back."""
    ends = (
        match.end()
        for match in _END.finditer(text, start, end)
        if not _ABBREVIATION.search(text, max(start, match.start() - 12), match.start() + 1)
    )
    previous: Sentence | None = None
    for cut_from, cut_to in pairwise([start, *ends, end]):
        piece = text[cut_from:cut_to]
        begin = cut_from + len(piece) - len(piece.lstrip())
        stop = begin + len(piece.strip())
        if begin >= stop:
            continue
        refers_back = _BACK_REFERENCE.match(text, begin, stop) is not None
        joined = refers_back and previous is not None and stop - previous.start <= MAX_SENTENCE_CHARS // 2
        yield Sentence(previous.start if joined and previous else begin, stop, "prose")
        previous = Sentence(begin, stop, "prose")
