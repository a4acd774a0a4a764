"""EscalationAgent: asks a person what the other agents could not settle."""

from typing import ClassVar, Literal

from pydantic import JsonValue, ValidationError

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.human_answer import HumanAnswer
from stretto.agents.material import claim_documents, finding_documents, note_documents
from stretto.agents.ticket import TICKET, with_ticket
from stretto.agents.writer import FoundByAll
from stretto.bus.message import Value
from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.review import Review
from stretto.shared.models.protocol import Document
from stretto.shared.prompt import Prompts

__all__ = ["EscalationAgent", "EscalationTask"]

_MAX_QUESTION_CHARS = 4_000

Decision = Literal["accept", "replace", "revise", "refuse"]


class EscalationTask(Value):
    """What was asked, the last output (a draft, or whatever a user's own agent made), the last review, and what was found."""

    request: str
    previous: dict[str, JsonValue] | None = None
    notes: Review | None = None
    findings: FoundByAll = ()


class EscalationAgent(Agent[EscalationTask, Escalation]):
    """Sums up what a person needs to decide, asks, and hands on what was decided.

    Args:
        prompts: the deployment's.
    """

    role: ClassVar[str] = "escalation"
    description: ClassVar[str] = "Asks a person to decide when the reviewer does not approve."

    def __init__(self, *, prompts: Prompts | None = None) -> None:
        self._prompts = prompts or Prompts()

    async def handle(self, task: EscalationTask, ctx: TaskContext) -> Escalation:
        await ctx.progress("summing up for a person")
        reply = await ctx.model.generate(
            Escalation,
            instructions=self._prompts.render("agents/escalation"),
            question=task.request,
            documents=[
                *finding_documents(task.findings),
                *_previous_documents(task.previous),
                *note_documents(task.notes),
            ],
        )
        made = _complete(reply.output, task)
        if TICKET in ctx.tools.names:
            made = await with_ticket(made, task.request, ctx)
        answer = await ctx.ask_human(made.question, summary=made.summary, points=made.open_points, options=made.options)
        decision = _decision(answer)
        await ctx.progress(f"{answer.principal} decides: {decision}")
        return made.model_copy(update={"decision": decision, "words": answer.text, "decided_by": answer.principal})


def _decision(answer: HumanAnswer) -> Decision:
    match answer.outcome:
        case "approved":
            return "accept"
        case "answered":
            return "replace"
        case "rejected":
            return "revise" if answer.text.strip() else "refuse"


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
    if len(question) > _MAX_QUESTION_CHARS:
        question = f"{question[: _MAX_QUESTION_CHARS - 1]}…"
    return made.model_copy(update={"question": question, "open_points": points})
