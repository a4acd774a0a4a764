"""EscalationAgent: sums up for a person what the other agents could not settle."""

from typing import ClassVar

from pydantic import JsonValue, ValidationError

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.material import claim_documents, finding_documents, note_documents
from stretto.agents.prompt import render_prompt
from stretto.agents.writer import FoundByAll
from stretto.bus.message import Value
from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.review import Review
from stretto.shared.models.protocol import Document

__all__ = ["EscalationAgent", "EscalationTask"]


class EscalationTask(Value):
    """What was asked, the last output (a draft, or whatever a user's own agent made), the last review, and what was found."""

    request: str
    previous: dict[str, JsonValue] | None = None
    notes: Review | None = None
    findings: FoundByAll = ()


class EscalationAgent(Agent[EscalationTask, Escalation]):
    """Closes a run with all that a person needs to decide."""

    role: ClassVar[str] = "escalation"
    description: ClassVar[str] = "Sums up for a person what is open when the reviewer does not approve."

    async def handle(self, task: EscalationTask, ctx: TaskContext) -> Escalation:
        await ctx.progress("summing up for a person")
        reply = await ctx.model.generate(
            Escalation,
            instructions=render_prompt("escalation"),
            question=task.request,
            documents=[
                *finding_documents(task.findings),
                *_previous_documents(task.previous),
                *note_documents(task.notes),
            ],
        )
        return _complete(reply.output, task)


def _previous_documents(previous: dict[str, JsonValue] | None) -> list[Document]:
    if previous is None:
        return []
    try:
        return claim_documents(Draft.model_validate(previous))
    except ValidationError:  # the output of an agent of the user's own
        return [Document(id=f"output-{name}", text=f"{name}: {value}") for name, value in previous.items() if value]


def _complete(made: Escalation, task: EscalationTask) -> Escalation:
    """With the reviewer's open points in any case: a person must not decide without them."""
    points = tuple(
        dict.fromkeys((*made.open_points, *(note.problem for note in (task.notes.notes if task.notes else ()))))
    )
    question = made.question.strip() or f"What should be the answer to: {task.request}"
    return made.model_copy(update={"question": question, "open_points": points})
