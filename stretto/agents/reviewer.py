"""Reviewer: checks a draft against what was found, by rules first and then by a model, claim by claim."""

from collections.abc import Sequence
from typing import ClassVar

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.judgement import Judgement
from stretto.agents.material import all_findings, claim_documents, finding_documents
from stretto.agents.reasoning import can_reason
from stretto.agents.writer import FoundByAll
from stretto.bus.message import Value
from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.review import Review
from stretto.shared.models.draft_rules import check_claims
from stretto.shared.models.protocol import Document
from stretto.shared.prompt import Prompts

__all__ = ["ReviewTask", "Reviewer"]


class ReviewTask(Value):
    """What was asked, the draft, and what it may rest on."""

    request: str
    draft: Draft
    findings: FoundByAll


class Reviewer(Agent[ReviewTask, Review]):
    """What the rules find, no model can wave through; what the model finds comes on top.

    A model that can reason gives a verdict on each claim; one that it leaves out it is asked for again, once. `offline` judges by rules.

    Args:
        claims: how many claims one call checks at the most.
        prompts: the deployment's.
    """

    role: ClassVar[str] = "reviewer"
    description: ClassVar[str] = "Checks that every claim of a draft stands in the findings, reads well and answers."

    def __init__(self, *, claims: int = 10, prompts: Prompts | None = None) -> None:
        self._claims = claims
        self._prompts = prompts or Prompts()

    async def handle(self, task: ReviewTask, ctx: TaskContext) -> Review:
        findings = all_findings(task.findings)
        draft = task.draft if task.draft.answered else task.draft.model_copy(update={"claims": ()})
        if not draft.claims and not findings:
            return Review(verdict="approve", reasons="Nothing was found, and the draft says so.", confidence=0.9)
        claims = len(draft.claims)
        await ctx.progress(f"checking {claims} claims against {len(findings)} findings")
        judgement = Judgement(
            claims=claims, faults=check_claims(draft.claims, {one.id: one.quote for one in findings.values()})
        )
        documents = [*claim_documents(draft), *finding_documents(task.findings)]
        size = self._claims if can_reason(ctx.model.name) else max(1, claims)
        for first in range(0, max(1, claims), size):
            last = min(first + size, claims) - 1
            await self._ask(task.request, documents, judgement, ctx, claims=range(first, last + 1))
        # A model's reply may fall short; what nobody checked is not approved.
        if missing := judgement.unchecked:
            await self._ask(task.request, documents, judgement, ctx, claims=range(missing[0], missing[-1] + 1))
        review = judgement.review()
        await ctx.progress(_verdict_line(review))
        return review

    async def _ask(
        self,
        request: str,
        documents: Sequence[Document],
        judgement: Judgement,
        ctx: TaskContext,
        *,
        claims: range,
    ) -> None:
        reply = await ctx.model.generate(
            Review,
            instructions=self._prompts.render(
                "agents/reviewer",
                claims=judgement.claims,
                part=len(claims) < judgement.claims,
                first=claims.start,
                last=claims.stop - 1,
            ),
            question=request,
            documents=documents,
        )
        judgement.add(reply.output, claims=claims, checked=not can_reason(reply.model))


def _verdict_line(review: Review) -> str:
    match review.verdict:
        case "approve":
            return "approved"
        case "revise":
            return f"asks for {len(review.notes)} change{'' if len(review.notes) == 1 else 's'}"
        case "reject":
            return "rejected"
