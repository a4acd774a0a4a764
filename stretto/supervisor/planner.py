"""Planner: the agent that makes a plan for a request, from the roles that are alive."""

from functools import cache
from importlib.resources import files
from typing import ClassVar

from pydantic import Field

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.bus.message import Value
from stretto.shared.contracts.decision import RoleOffer
from stretto.shared.contracts.proposal import PlanProposal
from stretto.shared.models.protocol import Document
from stretto.shared.prompt import Prompts
from stretto.supervisor.roles import PLANNER
from stretto.supervisor.spans import planning

__all__ = ["Planner", "PlannerTask"]


class PlannerTask(Value):
    """What the planner is given.

    Attributes:
        roles: the roles that a plan may use.
        problems: what was wrong with `previous`, its last proposal.
    """

    request: str
    roles: tuple[RoleOffer, ...]
    problems: tuple[str, ...] = ()
    previous: PlanProposal | None = Field(default=None)


class Planner(Agent[PlannerTask, PlanProposal]):
    """Proposes; the supervisor checks the proposal before it becomes a plan, and has it mended twice at the most.

    Args:
        prompts: the deployment's.
    """

    role: ClassVar[str] = PLANNER
    description: ClassVar[str] = "Makes a plan for a request: which roles work on it, in what order, on what."

    def __init__(self, *, prompts: Prompts | None = None) -> None:
        self._prompts = prompts or Prompts()

    async def handle(self, task: PlannerTask, ctx: TaskContext) -> PlanProposal:
        documents = [Document(id=offer.role, kind="role", text=_describe(offer)) for offer in task.roles]
        documents.append(Document(id="example", text=_example()))
        if task.previous is not None:
            documents.append(Document(id="previous-plan", text=task.previous.model_dump_json(exclude_defaults=True)))
        documents += [
            Document(id=f"problem-{position}", kind="note", text=problem)
            for position, problem in enumerate(task.problems, start=1)
        ]
        await ctx.progress(f"planning with {len(task.roles)} roles")
        with planning(PLANNER):
            reply = await ctx.model.generate(
                PlanProposal,
                instructions=self._prompts.render("supervisor/planner", mending=task.previous is not None),
                question=task.request,
                documents=documents,
            )
        return reply.output


@cache
def _example() -> str:
    """A plan, for its form."""
    return files("stretto.supervisor").joinpath("prompts", "example.json").read_text(encoding="utf-8")


def _describe(offer: RoleOffer) -> str:
    if not offer.takes:
        return offer.description
    fields = ", ".join(f"{field} (needed)" if field in offer.needs else field for field in offer.takes)
    return f"{offer.description}\nInputs: {fields}."
