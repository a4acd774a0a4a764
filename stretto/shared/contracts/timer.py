"""TimerFired: the bus's clock reached a time that the supervisor had set for a run."""

from typing import ClassVar

from stretto.bus.message import Message
from stretto.bus.subjects import Token

__all__ = ["TimerFired"]


class TimerFired(Message):
    """Written as the schedule, delivered by the server when it is due."""

    TYPE: ClassVar[str] = "timer"

    name: Token
