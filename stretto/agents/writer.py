"""Writer: makes a draft in which every claim cites a finding."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.material import all_findings, claim_documents, finding_documents, note_documents
from stretto.agents.reasoning import can_reason
from stretto.bus.message import Value
from stretto.shared.contracts.draft import Claim, Draft, Outline
from stretto.shared.contracts.findings import Findings
from stretto.shared.contracts.review import Review
from stretto.shared.models.protocol import Document
from stretto.shared.prompt import Prompts

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
    """Lets the model write, and drops every claim that cites nothing that was found.

    A model that can reason makes an outline first, where there is enough to put in order. A revision starts from the last draft instead.

    Args:
        outline_from: how many findings make an outline worth its call.
        prompts: the deployment's.
    """

    role: ClassVar[str] = "writer"
    description: ClassVar[str] = "Writes an answer from researchers' findings; every claim cites what it rests on."

    def __init__(self, *, outline_from: int = 3, prompts: Prompts | None = None) -> None:
        self._outline_from = outline_from
        self._prompts = prompts or Prompts()

    async def handle(self, task: WriteTask, ctx: TaskContext) -> Draft:
        findings = all_findings(task.findings)
        if not findings:
            await ctx.progress("nothing was found to write from")
            return Draft(answered=False, gap=f"Nothing in them answers: {task.request}", confidence=0.0)
        outline = await self._outline(task, set(findings), ctx)
        doing = "mending the draft" if task.notes else "writing"
        await ctx.progress(f"{doing} from {len(findings)} finding{'' if len(findings) == 1 else 's'}")
        reply = await ctx.model.generate(
            Draft,
            instructions=self._prompts.render(
                "agents/writer",
                revising=task.notes is not None,
                outlined=bool(outline),
                covered=all(one.covered for one in task.findings),
            ),
            question=task.request,
            documents=[
                *finding_documents(task.findings),
                *outline,
                *claim_documents(task.previous),
                *note_documents(task.notes),
            ],
        )
        return _keep_cited(reply.output, set(findings))

    async def _outline(self, task: WriteTask, known: set[str], ctx: TaskContext) -> list[Document]:
        """The points that the text is to make, one a document; none where it is short, or where a draft is mended."""
        if task.notes or len(known) < self._outline_from or not can_reason(ctx.model.name):
            return []
        await ctx.progress("making an outline")
        reply = await ctx.model.generate(
            Outline,
            instructions=self._prompts.render("agents/outline"),
            question=task.request,
            documents=finding_documents(task.findings),
        )
        points = [(point.says, [one for one in point.findings if one in known]) for point in reply.output.points]
        return [
            Document(id=f"point-{position}", text=says, refs=tuple(dict.fromkeys(cited)))
            for position, (says, cited) in enumerate(points)
            if cited
        ]


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
