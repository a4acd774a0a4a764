"""Reviewer: checks a draft against what was found, by rules first and then by a model."""

from typing import ClassVar

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.material import all_findings, claim_documents, finding_documents
from stretto.agents.prompt import render_prompt
from stretto.agents.writer import FoundByAll
from stretto.bus.message import Value
from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.review import Review, ReviewNote
from stretto.shared.models.draft_rules import check_claims

__all__ = ["ReviewTask", "Reviewer"]


class ReviewTask(Value):
    """What was asked, the draft, and what it may rest on."""

    request: str
    draft: Draft
    findings: FoundByAll


class Reviewer(Agent[ReviewTask, Review]):
    """What the rules find, no model can wave through; what the model finds comes on top."""

    role: ClassVar[str] = "reviewer"
    description: ClassVar[str] = "Checks that every claim of a draft stands in the findings, reads well and answers."

    async def handle(self, task: ReviewTask, ctx: TaskContext) -> Review:
        findings = all_findings(task.findings)
        draft = task.draft if task.draft.answered else task.draft.model_copy(update={"claims": ()})
        if not draft.claims and not findings:
            return Review(verdict="approve", reasons="Nothing was found, and the draft says so.", confidence=0.9)
        await ctx.progress(f"checking {len(draft.claims)} claims against {len(findings)} findings")
        faults = check_claims(draft.claims, {one.id: one.quote for one in findings.values()})
        reply = await ctx.model.generate(
            Review,
            instructions=render_prompt("reviewer", claims=len(draft.claims)),
            question=task.request,
            documents=[*claim_documents(draft), *finding_documents(task.findings)],
        )
        review = _merge(faults, reply.output, len(draft.claims))
        await ctx.progress(_verdict_line(review))
        return review


def _merge(faults: tuple[ReviewNote, ...], review: Review, claims: int) -> Review:
    """The model's review with the rules' notes before its own; any fault by rule makes it at least `revise`."""
    own = [note for note in review.notes if note not in faults and (note.claim is None or note.claim < claims)]
    notes = (*faults, *own)
    if review.verdict == "approve":
        if not faults:
            return review.model_copy(update={"notes": ()})
        return review.model_copy(
            update={"verdict": "revise", "notes": faults, "reasons": f"{len(faults)} faults found by rule."}
        )
    if not notes:
        notes = (ReviewNote(rule="completeness", problem=review.reasons or "the reviewer does not approve the draft"),)
    return review.model_copy(update={"notes": notes})


def _verdict_line(review: Review) -> str:
    match review.verdict:
        case "approve":
            return "approved"
        case "revise":
            return f"asks for {len(review.notes)} change{'' if len(review.notes) == 1 else 's'}"
        case "reject":
            return "rejected"
