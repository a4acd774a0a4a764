"""Relevance: how well pieces of text answer a question, by words and by meaning."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from stretto.shared.models.offline.terms import Parts, coverage, rarity, terms_of, weights
from stretto.shared.models.words import stems_of

__all__ = ["Candidate", "Embed", "Ranked", "rank_candidates"]

Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]
"""The unit vectors of some texts."""

# These bound the time of a call: only the best by words are compared by meaning.
_MAX_EMBEDDED = 24
_EMBEDDED_CHARS = 240

# Calibrated together with the thresholds, see there.
_MEANING, _WORDS, _PASSAGE = 0.4, 0.45, 0.15

_POINTER = re.compile(
    r"(?:see|follow|read|visit|refer to|check out|consult|faq|notes at|for [^.,]{1,60},? see)\b", re.IGNORECASE
)
_URL = re.compile(r"\S*://\S+")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A piece of text that may answer.

    Attributes:
        subject: what the text is about although it does not say so itself: the nearest heading, the line above a list.
        context: further words about it: the heading path, the document's name.
        passage: what stands around it.
        score: how well the passage fits the question, 0 to 1, where that was measured.
        is_code: it holds code, whose words are no sentence.
    """

    text: str
    subject: str = ""
    context: str = ""
    passage: str = ""
    score: float | None = None
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate by its position in what was given, with its relevance from 0 to 1."""

    position: int
    relevance: float
    stems: frozenset[str]
    vector: tuple[float, ...] | None = None

    def similarity(self, other: "Ranked") -> float:
        """How much the two say the same, 0 to 1."""
        union = len(self.stems | other.stems)
        words = len(self.stems & other.stems) / union if union else 0.0
        if self.vector is None or other.vector is None:
            return words
        return max(words, _dot(self.vector, other.vector))


async def rank_candidates(
    question: str, candidates: Sequence[Candidate], *, embed: Embed | None = None
) -> list[Ranked]:
    """The candidates that could be compared, the most relevant first; ties keep their order.

    Relevance is the weighted mean of the cosine of question and candidate, of the share of the question's terms that the candidate
    has, in itself or around it, and of its passage's score; times how much it says beyond the question. Without `embed` there is no
    cosine, and terms weigh by rarity alone.
    """
    terms = terms_of(question)
    parts = Parts.of_many([(one.text, f"{one.subject} {one.context}", one.passage) for one in candidates])
    weight = rarity(list(terms), parts)
    order = sorted(range(len(parts)), key=lambda at: -coverage(parts[at], weight) - 0.5 * (candidates[at].score or 0.0))
    vectors: dict[int, tuple[float, ...]] = {}
    cosines: dict[int, float] = {}
    if embed is not None:
        order = order[:_MAX_EMBEDDED]
        erased = [re.sub(rf"\b{re.escape(word)}\b", "", question) for word in terms.values()]
        asked, *others = await embed([question, *erased, *(_shown(candidates[at]) for at in order)])
        weight = weights(weight, [max(1 - _dot(asked, one), 0.001) for one in others[: len(erased)]])
        vectors = {at: tuple(vector) for at, vector in zip(order, others[len(erased) :], strict=True)}
        cosines = {at: max(_dot(asked, vector), 0.0) for at, vector in vectors.items()}

    def ranked(at: int) -> Ranked:
        relevance = _mean(coverage(parts[at], weight), cosines.get(at), candidates[at].score)
        return Ranked(at, relevance * _substance(candidates[at], terms), parts[at].text, vectors.get(at))

    return sorted((ranked(at) for at in order), key=_best_first)


def _best_first(one: Ranked) -> tuple[float, int]:
    return -one.relevance, one.position


def _mean(covered: float, cosine: float | None, score: float | None) -> float:
    """The weighted mean of those measures that there are."""
    measures = [
        (weight, value)
        for weight, value in ((_WORDS, covered), (_MEANING, cosine), (_PASSAGE, score))
        if value is not None
    ]
    return min(1.0, sum(weight * value for weight, value in measures) / sum(weight for weight, _ in measures))


def _substance(candidate: Candidate, terms: Mapping[str, str]) -> float:
    """How much a text can say at all: an answer adds words to the question's; questions, pointers and announcements say little."""
    new = {one for one in stems_of(_URL.sub("", candidate.text)) if one not in terms}
    factor = min(1.0, 0.55 + 0.15 * len(new))
    text = candidate.text.rstrip("*_ ")
    if text.endswith("?"):
        return factor * 0.75
    if _POINTER.match(text) and not candidate.is_code:
        return factor * 0.85
    if text.endswith(":") or (candidate.is_code and text.count("\n") > 12):
        return factor * 0.9
    return factor


def _shown(candidate: Candidate) -> str:
    """What is embedded: the nearest heading says what a sentence is about."""
    head = f"{candidate.subject}: " if candidate.subject else ""
    return f"{head}{candidate.text}"[:_EMBEDDED_CHARS]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(map(float.__mul__, one, other))
