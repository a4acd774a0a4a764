"""Decision: one commit of the supervisor, holding the events that cannot be derived from the rest of the log."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from stretto.bus.message import Message, Value
from stretto.bus.subjects import Token
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.conversation import Conversation
from stretto.shared.contracts.plan import Plan
from stretto.shared.contracts.retry import RetryPolicy

__all__ = ["Decision", "Event", "PlanMade", "PlanningAsked", "RoleOffer", "RoleUnserved", "RunRejected"]


class RoleOffer(Value):
    """A role that was alive when planning was asked: what a planner may use.

    Attributes:
        takes: the fields of its input beside `request`; empty when they are not known.
        needs: those of them that have no default.
    """

    role: Token
    description: str
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


class PlanMade(Value):
    """The run follows this plan.

    Attributes:
        retries: the deployment's policy by role, as it was then: whoever decides later, with whatever settings, decides the same.
        budget: the run's, as it was then; conversation: what was said in it before.
    """

    kind: Literal["plan_made"] = "plan_made"
    plan: Plan
    retries: dict[Token, RetryPolicy] = Field(default_factory=dict)
    budget: Budget | None = None
    conversation: Conversation | None = None


class PlanningAsked(Value):
    """The planner agent makes the plan from these roles; if its proposals stay unusable, `fallback` is the plan.

    `retries`, `budget` and `conversation` as in `PlanMade`.
    """

    kind: Literal["planning_asked"] = "planning_asked"
    roles: tuple[RoleOffer, ...]
    fallback: Plan
    retries: dict[Token, RetryPolicy] = Field(default_factory=dict)
    budget: Budget | None = None
    conversation: Conversation | None = None


class RoleUnserved(Value):
    """Nobody served a role that the run needs within the deployment's limit."""

    kind: Literal["role_unserved"] = "role_unserved"
    role: Token
    waited_s: float


class RunRejected(Value):
    """The request is not run.

    Attributes:
        retry_in_s: the system was too busy for it; it may be sent again after that many seconds. None: it cannot be run at all.
    """

    kind: Literal["run_rejected"] = "run_rejected"
    reason: str
    retry_in_s: Annotated[float, Field(gt=0)] | None = None


Event = Annotated[PlanMade | PlanningAsked | RoleUnserved | RunRejected, Field(discriminator="kind")]


class Decision(Message):
    """One commit. Written by compare-and-swap on the run's last one."""

    TYPE: ClassVar[str] = "decision"

    events: Annotated[tuple[Event, ...], Field(min_length=1)]
