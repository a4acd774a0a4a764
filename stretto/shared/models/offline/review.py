"""review: the verdict on a draft by rules: grounding, style, and whether it speaks of what was asked."""

from collections.abc import Sequence

from stretto.shared.contracts.draft import Claim
from stretto.shared.contracts.review import Review, ReviewNote
from stretto.shared.models.draft_rules import check_claims, grounding_of
from stretto.shared.models.offline.draft import write_draft
from stretto.shared.models.offline.relevance import Embed
from stretto.shared.models.offline.terms import terms_of
from stretto.shared.models.protocol import Document
from stretto.shared.models.words import content_stems

__all__ = ["judge_draft"]


async def judge_draft(question: str, documents: Sequence[Document], *, embed: Embed | None = None) -> Review:
    """Approve, or ask for changes, with a note for each. Documents: the claims in order (`refs` are findings), and the findings."""
    findings = [one for one in documents if one.kind == "finding"]
    claims = [Claim(text=one.text, findings=one.refs) for one in documents if one.kind == "claim"]
    if not claims:
        return await _judge_silence(question, findings, embed)
    notes = (*check_claims(claims, {one.id: one.text for one in findings}), *_completeness(question, claims, findings))
    texts = {one.id: one.text for one in findings}
    grounded = sum(grounding_of(claim.text, [texts[ref] for ref in claim.findings if ref in texts]) for claim in claims)
    confidence = round(grounded / len(claims), 3)
    if notes:
        return Review(verdict="revise", reasons=f"{len(notes)} things to change.", notes=notes, confidence=confidence)
    return Review(
        verdict="approve",
        reasons=f"Each of the {len(claims)} claims stands in the findings it cites."
        if len(claims) > 1
        else "The claim stands in the findings it cites.",
        confidence=confidence,
    )


async def _judge_silence(question: str, findings: Sequence[Document], embed: Embed | None) -> Review:
    could = await write_draft(question, findings, embed=embed)
    if not could.answered:
        return Review(
            verdict="approve",
            reasons="Nothing that was found answers the request, and the draft says so.",
            confidence=0.9,
        )
    note = ReviewNote(
        rule="completeness", problem="the draft says that nothing answers, but there are findings that do"
    )
    return Review(verdict="revise", reasons="The draft leaves out what was found.", notes=(note,), confidence=0.7)


def _completeness(question: str, claims: Sequence[Claim], findings: Sequence[Document]) -> list[ReviewNote]:
    """A draft must speak of at least one thing that was asked and found."""
    terms = terms_of(question)
    cited = {ref for claim in claims for ref in claim.findings}
    said = content_stems(" ".join(claim.text for claim in claims))
    said |= content_stems(" ".join(f"{one.place} {one.source}" for one in findings if one.id in cited))
    found = content_stems(" ".join(f"{one.text} {one.place} {one.source}" for one in findings))
    asked = [word for term, word in terms.items() if term in found]
    if asked and not any(term in said for term in terms):
        return [ReviewNote(rule="completeness", problem=f"the draft does not speak of {', '.join(asked)}")]
    return []
