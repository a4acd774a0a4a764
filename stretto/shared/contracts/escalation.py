"""Escalation: what was open, and what a person decided."""

from typing import Literal

from pydantic import Field

from stretto.bus.message import Value

__all__ = ["Escalation"]


class Escalation(Value):
    """An escalation agent's output: what a person had to decide, and did.

    Attributes:
        question: what the person has to decide, in one sentence.
        summary: what was asked, what was done and why it stopped.
        open_points: what is not settled, one by one.
        options: what the person could choose.
        decision: `accept` the last output as it is, `replace` it by the person's own words, `revise` it once more with their note,
            or `refuse`; `open` while nobody has decided.
        words: the person's answer or note.
        decided_by: who it was.
        ticket: the number, or whatever names it, of the ticket that was opened for it.
    """

    question: str
    summary: str
    open_points: tuple[str, ...] = ()
    options: tuple[str, ...] = Field(default=())
    decision: Literal["open", "accept", "replace", "revise", "refuse"] = "open"
    words: str = ""
    decided_by: str = ""
    ticket: str = ""
