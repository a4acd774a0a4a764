"""Words: the stems of a text's content words, which is all that the offline model compares by."""

import re
from functools import cache, lru_cache
from typing import Protocol, cast

__all__ = ["content_stems", "is_stop_word", "stem", "stems_of"]

_WORD = re.compile(r"\w+(?:['\u2019]\w+)?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_STOP_WORD_LIST = """
    a about above after again all also always am an and any anybody anyone anything are aren as at away be because been before being
    below between both but by can cannot could d did didn do does doesn doing don done down during each either else ever every
    everything for from further get gets getting give given gives go goes going got had has hasn have haven having he hello her here
    hers him his how however i if in instead into is isn it its itself just kind kinds know let like ll m made make makes making many
    may me might more most much must my need needed needs neither never no nor not now of off ok on once one ones only or other
    others our ours out over own per perhaps please possible quite rather re really s same shall she should shouldn show so some
    somebody someone something such t take takes tell than thank thanks that the their theirs them then there these they thing
    things this those through to together too under until up upon us ve very was wasn way ways we well were weren what whatever when
    where whether which while who whom whose why will with within without won would wouldn yes yet you your yours explain describe
    want wants happen happens
"""
_STOP_WORDS = frozenset(_STOP_WORD_LIST.split())


class _Stemmer(Protocol):
    # snake_case is not the library's way
    def stemWord(self, word: str) -> str: ...  # noqa: N802


@cache
def _stemmer() -> _Stemmer:
    import snowballstemmer  # type: ignore[import-untyped]  # ships no types

    return cast("_Stemmer", snowballstemmer.stemmer("english"))  # pyright: ignore[reportUnknownMemberType]


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The Snowball (Porter 2) stem of one English word, in lower case; other scripts only lose their case."""
    folded = word.casefold()
    return _stemmer().stemWord(folded) if folded.isascii() else folded


def is_stop_word(word: str) -> bool:
    """True for words that say nothing about a subject."""
    return word.casefold() in _STOP_WORDS


def stems_of(text: str) -> list[str]:
    """The stems of all content words in the order of the text; `snake_case` and `CamelCase` count whole and in parts."""
    stems: list[str] = []
    for word in _WORD.findall(text):
        bare = re.split(r"['\u2019]", word)[0]
        parts = [part for piece in bare.split("_") for part in _CAMEL.split(piece) if part]
        forms = [bare.strip("_"), *(parts if len(parts) > 1 else ())]
        stems += [stem(one) for one in forms if (len(one) > 1 or one.isdigit()) and not is_stop_word(one)]
    return stems


def content_stems(text: str) -> frozenset[str]:
    """The different stems of a text's content words."""
    return frozenset(stems_of(text))
