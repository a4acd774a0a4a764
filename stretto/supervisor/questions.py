"""Questions: what people were asked in a run, and how each question was settled."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from stretto.shared.contracts.question import Question, Settled
from stretto.shared.contracts.settlement import expire, settle
from stretto.supervisor.facts import Asked, CommandGiven, Moment, TimerFired
from stretto.supervisor.timers import TimerOrder

__all__ = ["Inquiry"]


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
        settled: Settled | None = None
        match fact:
            case TimerFired(name=name) if name == self.question.id:
                settled = expire(self.question, fact.at)
            case CommandGiven(command=command, principal=principal):
                settled = settle(self.question, command, principal, fact.at)
            case _:
                pass
        return self if settled is None else replace(self, since=fact.moment, settled=settled)
