"""Element: a paragraph, code block or table of a document, with its place in it."""

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Element", "ElementKind", "Outline", "Spot", "visible"]

ElementKind = Literal["prose", "lines", "table"]
Spot = Literal["line", "page", "paragraph"]

_LONGEST_HEADING = 150  # a longer one is a paragraph that looks like a heading

# Characters that people do not see, and that could carry instructions to a model: tags, variation selectors, zero-width characters,
# directions of writing, soft hyphens; control characters; halves of surrogate pairs, which are no text at all.
_INVISIBLE = re.compile(
    "[\U000e0000-\U000e007f\ufe00-\ufe0f\U000e0100-\U000e01ef\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u00ad\u061c\u180e"
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]"
)
_LINE_END = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")


def visible(text: str) -> str:
    """The text without the characters that people do not see; every end of a line is one newline."""
    return _INVISIBLE.sub("", _LINE_END.sub("\n", text))


@dataclass(frozen=True, slots=True)
class Element:
    """A run of text that belongs together.

    Attributes:
        kind: prose is cut between sentences, lines (code, lists) and tables between lines; a table's first line is its head.
        headings: the path of headings above it.
        spot: what `number` counts, from 1: the line or page of the text's beginning, or the paragraph.
    """

    text: str
    kind: ElementKind
    headings: tuple[str, ...]
    spot: Spot
    number: int


class Outline:
    """Collects a document's elements under its headings."""

    def __init__(self, spot: Spot) -> None:
        self._spot: Spot = spot
        self._headings: list[tuple[int, str]] = []
        self._bare: int | None = None  # where the last heading stands, as long as nothing stands below it
        self._elements: list[Element] = []

    def heading(self, level: int, text: str, number: int) -> None:
        """Begin a section; `level` is 1 for the topmost."""
        text = " ".join(visible(text).split())
        if len(text) > _LONGEST_HEADING:
            self.add(text, number)
        elif text:
            self._leave(level)
            self._headings.append((level, text))
            self._bare = number

    def add(self, text: str, number: int, kind: ElementKind = "prose") -> None:
        """Add an element to the section; blank ones are left out."""
        text = visible(text).rstrip()
        first = re.match(r"(?:[^\S\n]*\n)*", text)  # blank lines before the text
        if first and first.end():
            number += text.count("\n", 0, first.end()) if self._spot == "line" else 0
            text = text[first.end() :]
        if text:
            self._bare = None
            self._put(text, number, kind)

    def elements(self) -> list[Element]:
        """All of them; the outline is used up."""
        self._leave(0)
        return self._elements

    def _leave(self, level: int) -> None:
        # A heading with nothing below it would be lost: it becomes an element itself.
        while self._headings and self._headings[-1][0] >= level:
            _, text = self._headings.pop()
            if self._bare is not None:
                self._put(text, self._bare, "prose")
                self._bare = None

    def _put(self, text: str, number: int, kind: ElementKind) -> None:
        headings = tuple(heading for _, heading in self._headings)
        self._elements.append(Element(text, kind, headings, self._spot, number))
