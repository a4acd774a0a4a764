"""HTML, by Beautiful Soup: what a reader of the page sees."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from stretto.shared.memory.elements import Element, Outline
from stretto.shared.memory.readers.encoding import decode
from stretto.shared.memory.readers.table import table_text

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

__all__ = ["html_text", "read_html"]

_UNSEEN = "script, style, nav, noscript, template, svg, head, iframe, object, [hidden], [aria-hidden=true]"
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_HEADING = re.compile(r"h[1-6]")
_WORD = re.compile(r"[\w-]+")
_INLINE = frozenset(
    _WORD.findall(
        "a abbr b bdi bdo big cite code data del dfn em font i img input ins kbd label mark q rp rt ruby s samp small span strike "
        "strong sub sup time tt u var wbr"
    )
)


def read_html(data: bytes) -> list[Element]:
    """The paragraphs, lists, tables and code of a page under its headings, the paragraphs numbered from 1.

    Raises:
        Unreadable: these bytes are no text.
    """
    from bs4.dammit import EncodingDetector

    declared = EncodingDetector.find_declared_encoding(data, is_html=True)
    soup = _seen(decode(data, declared=declared))
    for table in soup.find_all("table"):
        if table.parent is not None:  # else it stood in a table that is text by now
            table.replace_with(soup.new_tag("table", string=_rows(table)))
    outline = Outline("paragraph")
    number = 0
    for block, texts in groupby(_texts(soup), key=lambda pair: pair[0]):
        if not (text := "".join(text for _, text in texts)).strip():
            continue
        number += 1
        name = block.name
        if _HEADING.fullmatch(name):
            outline.heading(int(name[1]), text, number)
        elif name in ("pre", "table"):
            outline.add(text, number, "lines" if name == "pre" else "table")
        else:
            outline.add(("- " if name == "li" else "") + " ".join(text.split()), number)
    return outline.elements()


def html_text(markup: str) -> str:
    """What is seen of a fragment of HTML, in one line."""
    return " ".join(_seen(markup).get_text(" ").split())


def _seen(markup: str) -> "BeautifulSoup":
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(markup, "html.parser")
    for unseen in soup.select(_UNSEEN) + soup.find_all(style=_HIDING):
        unseen.decompose()
    for line_break in soup.find_all("br"):
        line_break.replace_with("\n")
    return soup


def _texts(soup: "BeautifulSoup") -> "Iterator[tuple[Tag, str]]":
    """Every text of the page with the block that it stands in; `descendants` does not recurse, however deep the page is."""
    from bs4.element import NavigableString

    for text in soup.descendants:
        if type(text) is not NavigableString:  # comments and declarations are subclasses
            continue
        for block in text.parents:
            if block.name not in _INLINE:
                yield block, str(text)
                break


def _rows(table: "Tag") -> str:
    rows = [[cell.get_text(" ") for cell in row.find_all(["td", "th"])] for row in table.find_all("tr")]
    return table_text(rows)
