"""AgentCard: how a process announces itself, again and again, for as long as it lives."""

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, JsonValue

from stretto.bus.message import Message
from stretto.bus.subjects import Token

__all__ = ["AgentCard"]


class AgentCard(Message):
    """One process that serves one role.

    Attributes:
        role: for an agent its role; `supervisor` and `memory` for those services.
        instance: unique to the process.
        slots: how many tasks it may run at once; `busy` of them are taken.
        models: the model chain it thinks with, first choice first.
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
    leaving: bool = False
    input_schema: dict[str, JsonValue] = Field(default_factory=dict)
    output_schema: dict[str, JsonValue] = Field(default_factory=dict)
