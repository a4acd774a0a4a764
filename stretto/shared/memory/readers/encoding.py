"""From bytes to text, whatever the encoding."""

import codecs
import re

from stretto.shared.memory.errors import Unreadable

__all__ = ["decode"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffe\uffff]")
_SAMPLE_CHARS = 100_000


def decode(data: bytes, *, declared: str | None = None) -> str:
    """The text: by its byte order mark, else as UTF-8, else as it is declared, else as charset-normalizer thinks best.

    Raises:
        Unreadable: these bytes are no text.
    """
    text = _decoded(data, declared)
    sample = text[:_SAMPLE_CHARS]
    # Binary files pass for some 8-bit encoding or other, but they are full of control characters, and texts have next to none.
    if len(_CONTROL.findall(sample)) > len(sample) / 500:
        raise Unreadable("it is not text (too many control characters): a binary file with the wrong name?")
    return text


def _decoded(data: bytes, declared: str | None) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return data.decode(encoding).removeprefix("\ufeff")
            except UnicodeDecodeError as error:
                raise Unreadable(f"it begins like {encoding.upper()} but is not ({error.reason})") from error
    for encoding in ("utf-8", declared or "utf-8"):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    import charset_normalizer

    best = charset_normalizer.from_bytes(data).best()
    if best is None:
        raise Unreadable("it is not text in any known encoding: save it as UTF-8")
    return str(best)
