"""HumanAnswer: what a person said to an agent's question."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from stretto.agents.errors import QuestionExpired
from stretto.shared.contracts.question import Settled

__all__ = ["HumanAnswer"]


@dataclass(frozen=True, slots=True)
class HumanAnswer:
    """How a person settled a question.

    Attributes:
        outcome: `answered` in words, `approved` or `rejected`.
        text: the answer, or a note beside an approval or rejection.
        principal: who it was.
        at: when, by the server's clock.
    """

    outcome: Literal["answered", "approved", "rejected"]
    text: str
    principal: str
    at: datetime

    @property
    def approved(self) -> bool:
        return self.outcome == "approved"

    @classmethod
    def of(cls, settled: Settled) -> "HumanAnswer":
        """
        Raises:
            QuestionExpired: nobody decided in time.
        """
        if settled.outcome == "expired":
            raise QuestionExpired(settled.question)
        return cls(settled.outcome, settled.text, settled.principal, settled.at)
