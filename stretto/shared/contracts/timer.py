"""TimerFired: the bus's clock reached a time that the supervisor had set for a run."""

from typing import Annotated, ClassVar

from pydantic import Field

from stretto.bus.message import Message
from stretto.bus.subjects import Token

__all__ = ["TimerFired"]


class TimerFired(Message):
    """Written as the schedule, delivered by the server when it is due.

    Attributes:
        origin_seq: the request's sequence in the run's stream: readers of the run's log begin there.
    """

    TYPE: ClassVar[str] = "timer"
    PLACE: ClassVar[tuple[str, ...]] = ("name",)

    name: Token
    origin_seq: Annotated[int, Field(ge=0)] = 0
