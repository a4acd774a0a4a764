"""escalation: what a person needs to decide, summed up from the documents."""

from collections.abc import Sequence

from stretto.shared.contracts.escalation import Escalation
from stretto.shared.models.protocol import Document

__all__ = ["sum_up"]


def sum_up(question: str, documents: Sequence[Document]) -> Escalation:
    """State the request, the last draft and the review's notes; nothing is added to them."""
    claims = [one.text for one in documents if one.kind == "claim"]
    notes = [one.text for one in documents if one.kind == "note"]
    findings = [one for one in documents if one.kind == "finding"]
    sources = list(dict.fromkeys(one.source for one in findings if one.source))
    parts = [f"Asked was: {question}"]
    if findings:
        parts.append(f"{len(findings)} quotes were found" + (f" in {', '.join(sources[:5])}." if sources else "."))
    else:
        parts.append("Nothing was found in the documents.")
    if claims:
        parts.append(f"The last draft says: {' '.join(claims)}")
    if notes:
        parts.append(f"The review did not approve it, for {len(notes)} reason{'s' if len(notes) > 1 else ''}.")
    options = ["Answer the request yourself", "Add documents that cover it and ask again", "Withdraw the request"]
    if claims:
        options.insert(0, "Accept the last draft as it is")
    return Escalation(
        question=f"What should be the answer to: {question}",
        summary=" ".join(parts),
        open_points=tuple(notes) or ("There is no answer yet.",),
        options=tuple(options),
    )
