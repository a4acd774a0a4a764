"""Triage: an agent that lets an answer through, or hands the customer on to a person."""

from typing import ClassVar

from pydantic import BaseModel

from stretto.agents import Agent, TaskContext
from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.review import Review, ReviewNote

__all__ = ["Triage", "TriageTask"]


class TriageTask(BaseModel):
    """What the playbook hands over: the writer's draft."""

    draft: Draft


class Triage(Agent[TriageTask, Review]):
    """An answer goes out if the handbook has one; what it does not answer is never guessed."""

    role: ClassVar[str] = "triage"
    description: ClassVar[str] = "Decides whether what the handbook says is an answer to the customer."

    async def handle(self, task: TriageTask, ctx: TaskContext) -> Review:
        if task.draft.answered and task.draft.claims:
            return Review(verdict="approve")
        return Review(
            verdict="revise", notes=(ReviewNote(rule="completeness", problem="The handbook does not answer it."),)
        )
