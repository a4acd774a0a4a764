"""material: drafts, findings and reviews as documents for a model."""

from collections.abc import Sequence

from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.findings import Finding, Findings
from stretto.shared.contracts.review import Review
from stretto.shared.models.protocol import Document

__all__ = ["all_findings", "claim_documents", "finding_documents", "note_documents"]


def all_findings(found: Sequence[Findings]) -> dict[str, Finding]:
    """The findings of several researchers by id; of two with one id the first counts."""
    by_id: dict[str, Finding] = {}
    for one in found:
        for finding in one.findings:
            by_id.setdefault(finding.id, finding)
    return by_id


def finding_documents(found: Sequence[Findings]) -> list[Document]:
    """One document a finding; those of one passage stand together, in the order of the passage, the best passage first."""
    findings = all_findings(found).values()
    best = sorted(findings, key=lambda one: -one.confidence)
    passages = list(dict.fromkeys((one.source, one.passage, one.place) for one in best))
    return [
        Document(id=one.id, text=one.quote, kind="finding", source=one.source, place=one.place, score=one.confidence)
        for one in sorted(findings, key=lambda one: (passages.index((one.source, one.passage, one.place)), one.offset))
    ]


def claim_documents(draft: Draft | None) -> list[Document]:
    """One document a claim, `claim-0` and so on, with the findings that it cites."""
    claims = draft.claims if draft else ()
    return [
        Document(id=f"claim-{position}", text=claim.text, kind="claim", refs=claim.findings)
        for position, claim in enumerate(claims)
    ]


def note_documents(review: Review | None) -> list[Document]:
    """One document a note, with the claim it is about."""
    notes = review.notes if review else ()
    return [
        Document(
            id=f"note-{position}",
            text=note.problem,
            kind="note",
            refs=() if note.claim is None else (f"claim-{note.claim}",),
        )
        for position, note in enumerate(notes)
    ]
