"""Fact: one entry of a run's log, decoded."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult

__all__ = [
    "Answered",
    "Asked",
    "CommandGiven",
    "Decided",
    "Fact",
    "Moment",
    "RequestAccepted",
    "ResultRecorded",
    "TimerFired",
]


class Moment(NamedTuple):
    """A point in the run's log: a sequence in its stream and the server's time there (aware UTC)."""

    seq: int
    at: datetime


@dataclass(frozen=True, slots=True)
class _Entry:
    """What every fact has: `seq` in the run's stream and the server's time `at` (aware UTC)."""

    seq: int
    at: datetime

    @property
    def moment(self) -> Moment:
        return Moment(self.seq, self.at)


@dataclass(frozen=True, slots=True)
class RequestAccepted(_Entry):
    """Somebody asked: the run begins."""

    request: Request
    principal: str


@dataclass(frozen=True, slots=True)
class Decided(_Entry):
    """A supervisor committed events."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class ResultRecorded(_Entry):
    """An agent ended an attempt. The role in `result` is the one of the subject it was written on."""

    result: TaskResult


@dataclass(frozen=True, slots=True)
class Asked(_Entry):
    """An attempt asked a person. Role, task, attempt and position in `question` are those of the subject it was written on."""

    question: Question


@dataclass(frozen=True, slots=True)
class CommandGiven(_Entry):
    """A person or an app said something about the run."""

    command: Command
    principal: str
    command_id: str


@dataclass(frozen=True, slots=True)
class TimerFired(_Entry):
    """A time came that the supervisor had set. `origin_seq` is the request's sequence, where the timer says it."""

    name: str
    origin_seq: int = 0


@dataclass(frozen=True, slots=True)
class Answered(_Entry):
    """The run is over."""

    answer: Answer


Fact = RequestAccepted | Decided | ResultRecorded | Asked | CommandGiven | TimerFired | Answered
