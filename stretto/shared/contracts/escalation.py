"""Escalation: what is open, for a person to decide."""

from pydantic import Field

from stretto.bus.message import Value

__all__ = ["Escalation"]


class Escalation(Value):
    """An escalation agent's output: all that a person needs to decide.

    Attributes:
        question: what the person has to decide, in one sentence.
        summary: what was asked, what was done and why it stopped.
        open_points: what is not settled, one by one.
        options: what the person can choose.
    """

    question: str
    summary: str
    open_points: tuple[str, ...] = ()
    options: tuple[str, ...] = Field(default=())
