"""Turn and Conversation: what was asked and answered in the thread of runs that a run belongs to."""

from typing import ClassVar

from pydantic import AwareDatetime

from stretto.bus.message import Message, Value
from stretto.bus.subjects import Token

__all__ = ["Conversation", "Turn"]


class Turn(Message):
    """What one run added to its conversation. Written once, when the run is answered.

    Attributes:
        request: what was asked; answer: what came of it, without citations' places.
        at: when it was answered.
    """

    TYPE: ClassVar[str] = "turn"

    run: Token
    request: str
    answer: str
    answered: bool = True
    at: AwareDatetime


class Conversation(Value):
    """A conversation as far as a run knows it.

    Attributes:
        turns: the latest, the oldest of them first.
        summary: of the turns before those; empty where there are none.
        left_out: how many turns are only in the summary, or nowhere.
    """

    id: Token
    turns: tuple[Turn, ...] = ()
    summary: str = ""
    left_out: int = 0
