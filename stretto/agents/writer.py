"""Writer: makes a draft in which every claim cites a finding."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.material import all_findings, claim_documents, finding_documents, note_documents
from stretto.agents.prompt import render_prompt
from stretto.bus.message import Value
from stretto.shared.contracts.draft import Claim, Draft
from stretto.shared.contracts.findings import Findings
from stretto.shared.contracts.review import Review

__all__ = ["FoundByAll", "WriteTask", "Writer"]


def _as_several(value: Any) -> Any:
    return [value] if isinstance(value, (dict, Findings)) else value


FoundByAll = Annotated[tuple[Findings, ...], BeforeValidator(_as_several)]
"""The findings of one researcher or of several."""


class WriteTask(Value):
    """What to answer, from what; on a revision also the previous draft and the reviewer's notes on it."""

    request: str
    findings: FoundByAll
    notes: Review | None = None
    previous: Draft | None = None


class Writer(Agent[WriteTask, Draft]):
    """Lets the model write, and drops every claim that cites nothing that was found."""

    role: ClassVar[str] = "writer"
    description: ClassVar[str] = "Writes an answer from researchers' findings; every claim cites what it rests on."

    async def handle(self, task: WriteTask, ctx: TaskContext) -> Draft:
        findings = all_findings(task.findings)
        if not findings:
            await ctx.progress("nothing was found to write from")
            return Draft(answered=False, gap=f"Nothing in them answers: {task.request}", confidence=0.0)
        doing = "mending the draft" if task.notes else "writing"
        await ctx.progress(f"{doing} from {len(findings)} finding{'' if len(findings) == 1 else 's'}")
        reply = await ctx.model.generate(
            Draft,
            instructions=render_prompt("writer", revising=task.notes is not None),
            question=task.request,
            documents=[
                *finding_documents(task.findings),
                *claim_documents(task.previous),
                *note_documents(task.notes),
            ],
        )
        return _keep_cited(reply.output, set(findings))


def _keep_cited(draft: Draft, known: set[str]) -> Draft:
    """The draft without claims that cite nothing known, and without unknown ids."""
    if not draft.answered:
        return draft.model_copy(update={"claims": ()})
    claims = [
        Claim(text=claim.text, findings=tuple(one for one in dict.fromkeys(claim.findings) if one in known))
        for claim in draft.claims
    ]
    kept = tuple(claim for claim in claims if claim.findings)
    dropped = len(claims) - len(kept)
    if not dropped and kept:
        return draft.model_copy(update={"claims": kept})
    reason = f"{dropped} of {len(claims)} claims were left out because they cite nothing that was found."
    if not kept:
        gap = reason if claims else draft.gap or "The draft makes no claim."
        return Draft(answered=False, title=draft.title, gap=gap, confidence=0.0)
    return draft.model_copy(update={"claims": kept, "gap": f"{draft.gap} {reason}".strip()})
