"""AgentCard: how a process announces itself, again and again, for as long as it lives."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AwareDatetime, Field, JsonValue

from stretto.bus.message import Message, Value
from stretto.bus.subjects import Token

__all__ = ["SUPERVISOR_ROLE", "AgentCard", "ModelHealth"]

SUPERVISOR_ROLE: Final = "supervisor"


class ModelHealth(Value):
    """How a model did lately, as one process knows.

    Attributes:
        state: `ready`; `open` (it failed again and again and is left alone for a while); `half_open` (one call finds out whether it is
            back); `unset` (a person must set something up first).
        last_success_at, last_failure_at: by the process's clock; None where there was none.
        last_failure: the kind of the last error; empty where there was none.
    """

    model: str
    state: Literal["ready", "open", "half_open", "unset"] = "ready"
    last_success_at: AwareDatetime | None = None
    last_failure_at: AwareDatetime | None = None
    last_failure: str = ""


class AgentCard(Message):
    """One process that serves one role.

    Attributes:
        role: for an agent its role; `supervisor` and `memory` for those services.
        instance: unique to the process.
        slots: how many tasks it may run at once; `busy` of them are taken. A supervisor has no slots, and is busy with
            the open runs that it looks after.
        models: the model chain it thinks with, first choice first.
        health: how the models of the chain did lately, in its order.
        leaving: its last word: it takes no more work.
    """

    TYPE: ClassVar[str] = "agent_card"

    role: Token
    instance: Token
    description: str = ""
    version: str = ""
    started_at: AwareDatetime
    slots: Annotated[int, Field(ge=0)] = 0
    busy: Annotated[int, Field(ge=0)] = 0
    models: tuple[str, ...] = ()
    health: tuple[ModelHealth, ...] = ()
    leaving: bool = False
    input_schema: dict[str, JsonValue] = Field(default_factory=dict)
    output_schema: dict[str, JsonValue] = Field(default_factory=dict)
