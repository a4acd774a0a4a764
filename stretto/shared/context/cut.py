"""Cut: the beginning of a text that is too long, up to the end of a sentence, with a mark that says so."""

import re
from typing import Final

from stretto.shared.context.tokens import most_tokens_of

__all__ = ["CUT_MARK", "cut_to_chars", "cut_to_tokens"]

CUT_MARK: Final = " […]"
_END: Final = re.compile(r"[.!?…][\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]|\n")
_LEAST_SHARE: Final = 0.5
"""A cut at a sentence that would lose more than this of the room is made at a word, or within one."""


def cut_to_chars(text: str, chars: int) -> str:
    """The text, or its beginning and a mark, in at most `chars` characters."""
    return text if len(text) <= chars else _cut(text, max(0, chars - len(CUT_MARK)))


def cut_to_tokens(text: str, tokens: int) -> str:
    """As `cut_to_chars`, in at most so many tokens as `most_tokens_of` counts them."""
    if most_tokens_of(text) <= tokens:
        return text
    room = tokens - most_tokens_of(CUT_MARK)
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        fits, too_long = (middle, too_long) if most_tokens_of(text[:middle]) <= room else (fits, middle)
    return _cut(text, fits)


def _cut(text: str, at: int) -> str:
    ends = [match.end() for match in _END.finditer(text, 0, at + 1) if match.end() <= at]
    end = ends[-1] if ends and ends[-1] >= at * _LEAST_SHARE else max(text.rfind(" ", 0, at + 1), 0)
    return text[: end if end >= at * _LEAST_SHARE else at].rstrip() + CUT_MARK
