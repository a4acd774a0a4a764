"""Terms: the content words of a question, what each weighs, and how much of their weight a text covers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stretto.shared.models.words import content_stems, is_stop_word, stem

__all__ = ["Parts", "coverage", "rarity", "terms_of", "weights"]

_MAX_TERMS = 12
_IN_CONTEXT, _IN_PASSAGE = 0.6, 0.4
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Parts:
    """The stems of a text, of what it is about (headings, the document's name), and of what stands around it."""

    text: frozenset[str]
    context: frozenset[str]
    passage: frozenset[str]

    @classmethod
    def of(cls, text: str, context: str, passage: str) -> "Parts":
        return cls(content_stems(text), content_stems(context), content_stems(passage))

    @classmethod
    def of_many(cls, texts: Sequence[tuple[str, str, str]]) -> "list[Parts]":
        """As `of`, for many texts, contexts and passages: what several share is read once."""
        shared = {one: content_stems(one) for one in {part for _, *others in texts for part in others}}
        return [cls(content_stems(text), shared[context], shared[passage]) for text, context, passage in texts]

    @property
    def home(self) -> tuple[frozenset[str], frozenset[str]]:
        """What tells passages apart."""
        return self.context, self.passage or self.text


def terms_of(question: str) -> dict[str, str]:
    """The question's content words by their stem, at most 12; where all its words are stop words, those."""
    words = _WORD.findall(question)
    content = {stem(word): word for word in words if not is_stop_word(word) and (len(word) > 1 or word.isdigit())}
    chosen = content or {stem(word): word for word in words}
    return dict(list(chosen.items())[:_MAX_TERMS])


def rarity(terms: Sequence[str], parts: Sequence[Parts]) -> dict[str, float]:
    """More for terms that few passages have: where all speak of one product, its name says little."""
    passages = {one.home for one in parts}
    holding = {term: sum(term in context or term in text for context, text in passages) for term in terms}
    return {term: (1 + len(passages)) / (1 + holding[term]) for term in terms}


def weights(rare: Mapping[str, float], changes: Sequence[float]) -> dict[str, float]:
    """What each term weighs, when leaving it out changes the question's meaning by `changes`.

    Half of it is rarity alone: a name that the embedding model hardly knows changes little when it is left out. After Li, Monroe and
    Jurafsky, "Understanding neural networks through representation erasure", 2016.
    """
    total = sum(changes) or 1.0
    even = 1 / max(len(rare), 1)
    return {term: one * (change / total + even) / 2 for (term, one), change in zip(rare.items(), changes, strict=True)}


def coverage(parts: Parts, weight: Mapping[str, float]) -> float:
    """The share of the terms' weight that a text has: whole in its own words, less in its context or around it."""
    total = sum(weight.values())
    if not total:
        return 0.0
    return sum(value * _credit(parts, term) for term, value in weight.items()) / total


def _credit(parts: Parts, term: str) -> float:
    if term in parts.text:
        return 1.0
    if term in parts.context:
        return _IN_CONTEXT
    return _IN_PASSAGE if term in parts.passage else 0.0
