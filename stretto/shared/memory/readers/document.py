"""Documents: which formats are read, and by which reader."""

from collections.abc import Callable, Mapping
from pathlib import PurePath

from stretto.shared.memory.elements import Element
from stretto.shared.memory.errors import Unreadable
from stretto.shared.memory.readers.docx import read_docx
from stretto.shared.memory.readers.html import read_html
from stretto.shared.memory.readers.markdown import read_markdown
from stretto.shared.memory.readers.pdf import read_pdf
from stretto.shared.memory.readers.plain import read_plain, read_rst

__all__ = ["READABLE", "read_document"]

_READERS: Mapping[str, Callable[[bytes], list[Element]]] = {
    ".docx": read_docx,
    ".htm": read_html,
    ".html": read_html,
    ".markdown": read_markdown,
    ".md": read_markdown,
    ".pdf": read_pdf,
    ".rst": read_rst,
    ".text": read_plain,
    ".txt": read_plain,
}

READABLE = tuple(_READERS)
"""The endings of the files that are read, in lower case."""


def read_document(name: str, data: bytes) -> list[Element]:
    """The elements of a document, in order; none where it is blank. The name's ending tells the format.

    Raises:
        Unreadable: of no known format, broken, protected, or not text.
    """
    reader = _READERS.get(PurePath(name).suffix.lower())
    if reader is None:
        raise Unreadable(f"the format is not known: readable are {', '.join(READABLE)}")
    return reader(data)
