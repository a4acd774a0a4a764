"""Command: what a person or an app says about a run that is under way."""

from typing import ClassVar, Literal

from stretto.bus.message import Message

__all__ = ["Command"]


class Command(Message):
    """Cancel the run. Further verbs (approve, reject, answer, retry) come with the features that need them."""

    TYPE: ClassVar[str] = "command"

    verb: Literal["cancel"]
    reason: str = ""
