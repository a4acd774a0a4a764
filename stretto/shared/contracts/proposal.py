"""PlanProposal: the plan that a planner agent suggests, before it is checked."""

from pydantic import Field

from stretto.bus.message import Value
from stretto.shared.contracts.plan import PlannedTask

__all__ = ["PlanProposal"]


class PlanProposal(Value):
    """A planner's output. The supervisor checks it against the roles that are alive before it becomes a plan."""

    reason: str = ""
    tasks: tuple[PlannedTask, ...] = Field(default=())
    answer: str = ""
