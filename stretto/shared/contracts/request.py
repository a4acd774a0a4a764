"""Request: what somebody asks for. Writing one to the bus starts a run."""

from typing import Annotated, ClassVar

from pydantic import Field, JsonValue, field_validator

from stretto.bus.message import Message
from stretto.bus.subjects import Token
from stretto.shared.contracts.budget import Budget

__all__ = ["MAX_REQUEST_CHARS", "Request"]

MAX_REQUEST_CHARS = 32_000


class Request(Message):
    """One request.

    Attributes:
        text: what is asked, in the asker's words.
        playbook: the playbook to follow; without one the router picks; `planner` lets the planner agent make a plan.
        scope: the document roots to answer from (see `Record.root`); empty means all of the tenant's.
        params: further input that playbooks may hand to tasks by name.
        conversation: the thread of runs that this one belongs to.
        deadline_s: seconds from acceptance until the run fails; without one the deployment's setting holds.
        budget: what the run may take; where the deployment allows less, that holds.
    """

    TYPE: ClassVar[str] = "request"

    text: Annotated[str, Field(min_length=1, max_length=MAX_REQUEST_CHARS)]
    playbook: Token | None = None
    scope: tuple[str, ...] = ()
    params: dict[str, JsonValue] = Field(default_factory=dict)
    conversation: Token | None = None
    deadline_s: Annotated[float, Field(gt=0, le=90 * 86_400)] | None = None
    budget: Budget | None = None

    @field_validator("text")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the request is empty")
        return text
