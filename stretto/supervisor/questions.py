"""Questions: what people were asked in a run, and how each question was settled."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from stretto.shared.contracts.question import Question, Settled
from stretto.supervisor.facts import Asked, CommandGiven, Moment, TimerFired
from stretto.supervisor.timers import TimerOrder

__all__ = ["Inquiry", "settles"]

_OUTCOMES: Final[dict[str, Literal["answered", "approved", "rejected"]]] = {
    "answer": "answered",
    "approve": "approved",
    "reject": "rejected",
}


def settles(question: Question, given: CommandGiven) -> bool:
    """Whether the command settles the question, if that is still open. Who may decide what is to be asked here."""
    command = given.command
    fits = command.verb in ("approve", "reject") or (command.verb == "answer" and question.kind == "question")
    return fits and command.question == question.id


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question that was asked, and its settlement once there is one.

    Attributes:
        since: when it was asked, or when it was settled.
    """

    asked: Asked
    since: Moment
    settled: Settled | None = None

    @classmethod
    def of(cls, asked: Asked) -> "Inquiry":
        return cls(asked, asked.moment)

    @property
    def question(self) -> Question:
        return self.asked.question

    @property
    def expires_at(self) -> datetime:
        return self.asked.at + timedelta(seconds=self.question.expires_in_s)

    @property
    def timer(self) -> TimerOrder:
        """The timer that ends it when nobody decides."""
        return TimerOrder(self.question.id, self.expires_at)

    def settle(self, fact: CommandGiven | TimerFired) -> "Inquiry":
        """This open inquiry after `fact`; itself when that does not fit."""
        match fact:
            case TimerFired(name=name) if name == self.question.id:
                return self._settled(fact.moment, "expired")
            case CommandGiven(command=command) if settles(self.question, fact):
                return self._settled(fact.moment, _OUTCOMES[command.verb], command.text, fact.principal)
            case _:
                return self

    def _settled(
        self,
        moment: Moment,
        outcome: Literal["answered", "approved", "rejected", "expired"],
        text: str = "",
        principal: str = "",
    ) -> "Inquiry":
        asked = self.question
        settled = Settled(
            question=asked.id,
            position=asked.position,
            digest=asked.digest,
            outcome=outcome,
            text=text,
            principal=principal,
            at=moment.at,
        )
        return replace(self, since=moment, settled=settled)
