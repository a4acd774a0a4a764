"""Progress: what a process is doing for a run right now. It is never stored."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from stretto.bus.message import Message
from stretto.bus.subjects import Token

__all__ = ["Progress"]


class Progress(Message):
    """One line of live progress.

    Attributes:
        kind: `started` (an agent took a task), `note` (what it is doing), `waiting` (nobody serves a role that is due), `text`
            (a piece of a reply while a model writes it: JSON, not yet checked; pieces may be lost or come again).
        reply: with `text`, which reply of the attempt it belongs to, counted from 1.
    """

    TYPE: ClassVar[str] = "progress"

    kind: Literal["started", "note", "waiting", "text"]
    role: Token
    task: Token | None = None
    attempt: int = 1
    agent: str = ""
    text: str = ""
    reply: Annotated[int, Field(ge=0)] = 0
