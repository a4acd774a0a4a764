"""quotes: the sentences of passages that answer a question, or none."""

from collections.abc import Sequence
from dataclasses import dataclass

from stretto.shared.contracts.findings import Quote, Quotes
from stretto.shared.memory.place import heading_of
from stretto.shared.models.diversity import choose_diverse
from stretto.shared.models.offline.relevance import Candidate, Embed, Ranked, rank_candidates
from stretto.shared.models.offline.sentences import Sentence, sentences_of
from stretto.shared.models.offline.thresholds import answers_from, fits_from
from stretto.shared.models.protocol import Document

__all__ = ["MAX_QUOTES", "pick_quotes", "subject_of"]

MAX_QUOTES = 5
_NEARLY = 0.85


@dataclass(frozen=True, slots=True)
class _Spot:
    document: Document
    sentence: Sentence

    @property
    def quote(self) -> str:
        return self.sentence.of(self.document.text)

    def overlaps(self, other: "_Spot") -> bool:
        same = self.document.id == other.document.id
        return same and self.sentence.start < other.sentence.end and other.sentence.start < self.sentence.end

    def contains(self, other: "_Spot") -> bool:
        return (
            self.overlaps(other)
            and self.sentence.start <= other.sentence.start
            and other.sentence.end <= self.sentence.end
        )

    def repeats(self, other: "_Spot") -> bool:
        return self.quote.split() == other.quote.split()


async def pick_quotes(question: str, documents: Sequence[Document], *, embed: Embed | None = None) -> Quotes:
    """Exact quotes, the most relevant first and no two that say the same; empty when the passages do not answer."""
    spots = [_Spot(one, sentence) for one in documents if one.kind == "passage" for sentence in sentences_of(one.text)]
    ranked = await rank_candidates(question, [_candidate(spot) for spot in spots], embed=embed)
    if not ranked or ranked[0].relevance < answers_from(with_meaning=embed is not None):
        return Quotes()
    least = fits_from(ranked[0].relevance, with_meaning=embed is not None)
    fitting = _apart([one for one in ranked if one.relevance >= least], spots)
    chosen = choose_diverse(
        [one.relevance for one in fitting], lambda i, j: fitting[i].similarity(fitting[j]), at_most=MAX_QUOTES
    )
    best = sorted((fitting[i] for i in chosen), key=lambda one: -one.relevance)
    return Quotes(
        quotes=tuple(
            Quote(
                document=spots[one.position].document.id,
                quote=spots[one.position].quote,
                confidence=round(one.relevance, 3),
            )
            for one in best
        )
    )


def subject_of(document: Document) -> str:
    """What a document is about by its place: the nearest heading."""
    return heading_of(document.place).split(" > ")[-1]


def _candidate(spot: _Spot) -> Candidate:
    document = spot.document
    return Candidate(
        text=spot.quote,
        subject=" ".join(f"{subject_of(document)} {spot.sentence.lead}".split()),
        context=f"{document.place} {document.source}",
        passage=document.text,
        score=document.score,
        is_code=spot.sentence.kind == "code",
    )


def _apart(ranked: Sequence[Ranked], spots: Sequence[_Spot]) -> list[Ranked]:
    """No two that overlap or repeat each other: the better one, or the longer one that is nearly as good."""
    kept: list[Ranked] = []
    for one in ranked:
        spot = spots[one.position]
        rivals = [
            k
            for k, other in enumerate(kept)
            if spot.overlaps(spots[other.position]) or spot.repeats(spots[other.position])
        ]
        if not rivals:
            kept.append(one)
            continue
        rival = kept[rivals[0]]
        nearly_as_good = one.relevance >= _NEARLY * rival.relevance
        if len(rivals) == 1 and nearly_as_good and spot.contains(spots[rival.position]):
            kept[rivals[0]] = one
    return kept
