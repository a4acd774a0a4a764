"""Settlement: what a command, or the end of its time, makes of a question."""

from datetime import datetime
from typing import Final, Literal

from stretto.shared.contracts.command import Command
from stretto.shared.contracts.question import Question, Settled

__all__ = ["expire", "settle"]

Outcome = Literal["answered", "approved", "rejected", "expired"]

_OUTCOMES: Final[dict[str, Outcome]] = {"answer": "answered", "approve": "approved", "reject": "rejected"}


def settle(question: Question, command: Command, principal: str, at: datetime) -> Settled | None:
    """How the command settles an open question; None if it does not fit. Who may decide what is to be asked here.

    An approval is settled by approve or reject alone.
    """
    outcome = _OUTCOMES.get(command.verb)
    if outcome is None or command.question != question.id or (outcome == "answered" and question.kind == "approval"):
        return None
    return _settled(question, outcome, at, command.text, principal)


def expire(question: Question, at: datetime) -> Settled:
    """Nobody decided in time."""
    return _settled(question, "expired", at)


def _settled(question: Question, outcome: Outcome, at: datetime, text: str = "", principal: str = "") -> Settled:
    return Settled(
        question=question.id,
        position=question.position,
        digest=question.digest,
        outcome=outcome,
        text=text,
        principal=principal,
        at=at,
    )
