"""draft: a text made of findings, one claim a finding, in reading order."""

from collections.abc import Sequence

from stretto.shared.contracts.draft import Claim, Draft
from stretto.shared.models.diversity import choose_diverse, overlap
from stretto.shared.models.offline.plain import sentence_of
from stretto.shared.models.offline.quotes import subject_of
from stretto.shared.models.offline.relevance import Candidate, Embed, Ranked, rank_candidates
from stretto.shared.models.offline.thresholds import answers_from, fits_from
from stretto.shared.models.protocol import Document

__all__ = ["MAX_CLAIMS", "SAME_FROM", "write_draft"]

MAX_CLAIMS = 5
SAME_FROM = 0.85
"""Two texts of which one has this share of the other's words say the same."""


async def write_draft(question: str, documents: Sequence[Document], *, embed: Embed | None = None) -> Draft:
    """Answer from the findings, or say that they do not answer.

    A note that names a claim (by its id in `refs`) keeps what that claim said out of the text.
    """
    findings = [one for one in documents if one.kind == "finding" and one.text.strip()]
    ranked = await rank_candidates(question, [_candidate(one) for one in findings], embed=embed)
    least = answers_from(with_meaning=embed is not None)
    if not ranked or _worth(ranked[0], findings) < least:
        return Draft(answered=False, gap=f"Nothing that was found answers: {question}".strip(), confidence=0.0)
    ranked.sort(key=lambda one: (-_worth(one, findings), one.position))
    enough = fits_from(_worth(ranked[0], findings), with_meaning=embed is not None)
    fitting = [one for one in ranked if _worth(one, findings) >= enough]
    groups = [group for group in _alike(fitting) if not _is_refused(group[0], findings, documents)]
    if not groups:
        return Draft(answered=False, gap="All that was found was refused by the review.", confidence=0.0)
    chosen = choose_diverse(
        [_worth(group[0], findings) for group in groups],
        lambda i, j: groups[i][0].similarity(groups[j][0]),
        at_most=MAX_CLAIMS,
    )
    ordered = _in_reading_order([groups[i] for i in chosen], findings)
    worths = [_worth(group[0], findings) for group in ordered]
    return Draft(
        answered=True,
        claims=tuple(
            Claim(
                text=sentence_of(findings[group[0].position].text),
                findings=tuple(findings[one.position].id for one in group),
            )
            for group in ordered
        ),
        confidence=round((max(worths) + sum(worths) / len(worths)) / 2, 3),
    )


def _candidate(finding: Document) -> Candidate:
    return Candidate(
        text=finding.text,
        subject=subject_of(finding),
        context=f"{finding.place} {finding.source}",
        score=finding.score,
        is_code="\n" in finding.text,
    )


def _worth(one: Ranked, findings: Sequence[Document]) -> float:
    """What stood around a quote is not known here, so that who found it may know better how well it fits."""
    score = findings[one.position].score
    return one.relevance if score is None else max(one.relevance, (one.relevance + score) / 2)


def _alike(ranked: Sequence[Ranked]) -> list[list[Ranked]]:
    """Those that say the same in one group, the better first: the claim cites them all."""
    groups: list[list[Ranked]] = []
    for one in ranked:
        same = next((group for group in groups if overlap(one.stems, group[0].stems) >= SAME_FROM), None)
        if same is None:
            groups.append([one])
        else:
            same.append(one)
    return groups


def _is_refused(one: Ranked, findings: Sequence[Document], documents: Sequence[Document]) -> bool:
    noted = {ref for note in documents if note.kind == "note" for ref in note.refs}
    text = sentence_of(findings[one.position].text)
    return any(claim.text == text for claim in documents if claim.kind == "claim" and claim.id in noted)


def _in_reading_order(groups: Sequence[list[Ranked]], findings: Sequence[Document]) -> list[list[Ranked]]:
    """The document with the best one first, in it the section with the best one, and in that the order in which they were given."""

    def home(group: list[Ranked]) -> tuple[str, str]:
        finding = findings[group[0].position]
        return finding.source, finding.place

    best = sorted(groups, key=lambda group: -_worth(group[0], findings))
    sources = list(dict.fromkeys(home(group)[0] for group in best))
    places = list(dict.fromkeys(home(group) for group in best))
    return sorted(best, key=lambda group: (sources.index(home(group)[0]), places.index(home(group)), group[0].position))
