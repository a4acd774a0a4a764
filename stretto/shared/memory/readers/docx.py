"""DOCX, by python-docx: paragraphs and tables under the headings."""

import io
import re
import zipfile
from typing import TYPE_CHECKING

from stretto.shared.memory.elements import Element, Outline
from stretto.shared.memory.errors import Unreadable
from stretto.shared.memory.readers.table import table_text

if TYPE_CHECKING:
    from docx.text.paragraph import Paragraph

__all__ = ["read_docx"]

_HEADING = re.compile(r"heading (\d)", re.IGNORECASE)
_MOST_BYTES = 512 * 1024 * 1024  # unpacked: a small file may unpack into one that fills the memory


def read_docx(data: bytes) -> list[Element]:
    """The paragraphs and tables of a document, numbered from 1 as they come, under its headings.

    Raises:
        Unreadable: it is no DOCX, broken, protected, or unpacks into too much.
    """
    import docx
    from docx.text.paragraph import Paragraph

    _check_size(data)
    outline = Outline("paragraph")
    try:
        for number, item in enumerate(docx.Document(io.BytesIO(data)).iter_inner_content(), 1):
            if isinstance(item, Paragraph):
                _add_paragraph(outline, item, number)
            else:
                outline.add(table_text([[cell.text for cell in row.cells] for row in item.rows]), number, "table")
    except Exception as error:  # on broken files python-docx raises whatever its code stumbles over
        raise _broken(error) from error
    return outline.elements()


def _check_size(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size_bytes = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise _broken(error) from error
    if size_bytes > _MOST_BYTES:
        raise Unreadable(f"it unpacks into {size_bytes / 1e6:.0f} MB, more than {_MOST_BYTES / 1e6:.0f} MB")


def _broken(error: Exception) -> Unreadable:
    return Unreadable(f"it is not a DOCX that can be read ({type(error).__name__}: {error})")


def _add_paragraph(outline: Outline, paragraph: "Paragraph", number: int) -> None:
    style = paragraph.style.name or "" if paragraph.style else ""
    heading = _HEADING.match(style)
    if heading:
        outline.heading(int(heading[1]), paragraph.text, number)
    elif style == "Title":
        outline.heading(0, paragraph.text, number)
    elif style.startswith("List") and paragraph.text.strip():
        outline.add(f"- {paragraph.text}", number)
    else:
        outline.add(paragraph.text, number)
