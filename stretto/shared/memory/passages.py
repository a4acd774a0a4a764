"""Passage: a stretch of a document that is searched and cited as one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from stretto.shared.memory.elements import Element, ElementKind
from stretto.shared.memory.place import place_of

__all__ = ["MOST_CHARS", "USUAL_CHARS", "Passage", "cut"]

USUAL_CHARS = 700
"""What a passage is filled up to: about what the embedder takes in."""

MOST_CHARS = 900
"""What no passage is longer than, but for the repeated head of a table."""

_HEAD_CHARS = 300  # a longer head of a table is not repeated
_GAP = "\n\n"

# The end of a sentence: not after an initial, a number of a list or a usual abbreviation, and not before a small letter.
_SENTENCE_END = re.compile(
    r"(?<!\b[A-Z])(?<!\bcf)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)(?<!\betc)(?<!\b[DMS][rst])(?<!\bMrs)(?<!\bNo)(?<!\bapprox)"
    r"[.!?…]+[\"')\]*_`\u201d\u2019]*\s+(?=[^\sa-z])|[\u3002\uff01\uff1f]"
)
_LINE_END = re.compile(r"\n")
_ITEM_START = re.compile(r"\n(?=\s*(?:[-*+\u2022]|\d{1,3}[.)])\s)")
_WORD_END = re.compile(r"\s+")
_CUTS: Mapping[ElementKind, Sequence[re.Pattern[str]]] = {
    "prose": (_SENTENCE_END, _WORD_END),
    "lines": (_ITEM_START, _LINE_END, _SENTENCE_END, _WORD_END),
    "table": (_LINE_END, _SENTENCE_END, _WORD_END),
}
_RULE = re.compile(r"[\s|:+=-]+")


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive elements of one section, or a part of one, and where it begins."""

    text: str
    place: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """`element.text[start:end]`: what is not cut further."""

    element: Element
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.element.text[self.start : self.end]


def cut(elements: Sequence[Element]) -> list[Passage]:
    """Cut a document into passages of about 700 characters, in order.

    A passage never spans two sections or two pages. A sentence, a line of code or a row of a table is only cut where it alone is longer
    than a passage; a table that goes on in the next passage has its head repeated there. Nothing is left out but white space at the cuts.
    """
    passages: list[Passage] = []
    for _, section in groupby(elements, key=lambda one: (one.headings, one.number if one.spot == "page" else 0)):
        pieces = [piece for element in section for piece in _pieces(element)]
        passages += [_passage(run) for run in _runs(pieces)]
    return passages


def _pieces(element: Element) -> Iterator[_Piece]:
    for start, end in _split(element.text, 0, len(element.text), _CUTS[element.kind]):
        yield _Piece(element, start, end)


def _split(text: str, start: int, end: int, cuts: Sequence[re.Pattern[str]]) -> Iterator[tuple[int, int]]:
    """Cut what is too long by the first of `cuts`, what of it is still too long by the next, and what has no such place anywhere."""
    if end - start <= USUAL_CHARS:
        yield start, end
        return
    if not cuts:
        for begin in range(start, end, USUAL_CHARS):
            yield begin, min(begin + USUAL_CHARS, end)
        return
    ends = [start, *(match.end() for match in cuts[0].finditer(text, start, end)), end]
    for first, last in pairwise(ends):
        last = first + len(text[first:last].rstrip())  # noqa: PLW2901 (the same stretch without the white space at its end)
        if first < last:
            yield from _split(text, first, last, cuts[1:])


def _runs(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Fill passages up; a short rest goes to the passage before it, where that does not get too long."""
    runs: list[list[_Piece]] = []
    lengths: list[int] = []
    for piece in pieces:
        grown = lengths[-1] + _growth(runs[-1][-1], piece) if runs else 0
        introduced = runs and runs[-1][-1].text.endswith(":")  # the line above a list, a table or code stays with it
        if runs and grown <= (MOST_CHARS if introduced else USUAL_CHARS):
            runs[-1].append(piece)
            lengths[-1] = grown
        else:
            runs.append([piece])
            lengths.append(piece.end - piece.start)
    if len(runs) > 1 and lengths[-2] + len(_GAP) + lengths[-1] <= MOST_CHARS:
        rest = runs.pop()
        runs[-1] += rest
    return runs


def _growth(last: _Piece, piece: _Piece) -> int:
    """By how many characters a passage grows that ends with `last`, when `piece` is added."""
    if piece.element is last.element:
        return piece.end - last.end
    return len(_GAP) + piece.end - piece.start


def _stretches(run: Sequence[_Piece]) -> list[_Piece]:
    """The pieces of one element joined, with what stands between them."""
    stretches: list[_Piece] = []
    for piece in run:
        if stretches and stretches[-1].element is piece.element:
            stretches[-1] = _Piece(piece.element, stretches[-1].start, piece.end)
        else:
            stretches.append(piece)
    return stretches


def _passage(run: Sequence[_Piece]) -> Passage:
    stretches = _stretches(run)
    first = stretches[0]
    number = first.element.number
    if first.element.spot == "line":
        number += first.element.text.count("\n", 0, first.start)
    text = _GAP.join(one.text for one in stretches)
    return Passage(_head(first) + text, place_of(first.element.headings, f"{first.element.spot} {number}"))


def _head(piece: _Piece) -> str:
    """The head of the table that the piece is a further part of, with its rule and a line end."""
    if piece.element.kind != "table" or not piece.start:
        return ""
    lines = piece.element.text.split("\n", 2)
    head = lines[0] + "\n"
    if len(lines) > 2 and _RULE.fullmatch(lines[1]):
        head += lines[1] + "\n"
    return head if len(head) <= min(_HEAD_CHARS, piece.start) else ""
