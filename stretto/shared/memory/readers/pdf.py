"""PDF, by pypdf: the text of each page."""

import io
import logging

from stretto.shared.memory.elements import Element, Outline
from stretto.shared.memory.errors import Unreadable

__all__ = ["read_pdf"]


def read_pdf(data: bytes) -> list[Element]:
    """The paragraphs of a PDF, as far as blank lines tell them, with their pages.

    Raises:
        Unreadable: it is no PDF, broken, protected by a password, or has no text (a scan).
    """
    from pypdf import PasswordType, PdfReader

    logging.getLogger("pypdf").setLevel(
        logging.ERROR
    )  # its warnings are of a file's inner life; what matters is told below
    try:
        reader = PdfReader(io.BytesIO(data))
        locked = reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED
        pages = [] if locked else [page.extract_text() for page in reader.pages]
    except Exception as error:  # on broken files pypdf raises whatever its code stumbles over
        raise Unreadable(f"it is not a PDF that can be read ({type(error).__name__}: {error})") from error
    if locked:
        raise Unreadable("it is protected by a password: save a copy without one")
    outline = Outline("page")
    for number, page in enumerate(pages, 1):
        for paragraph in page.split("\n\n"):
            outline.add(paragraph, number)
    elements = outline.elements()
    if not elements:
        raise Unreadable("it has no text, so it is likely a scan: run text recognition on it first")
    return elements
