"""Withdrawn: a run is over; whatever an agent still does for it is stopped."""

from typing import ClassVar

from stretto.bus.message import Message

__all__ = ["Withdrawn"]


class Withdrawn(Message):
    """Told to the agents of each role that has work out for the run that the envelope names. Never stored."""

    TYPE: ClassVar[str] = "withdrawn"
