"""Reading: from what is stored below a run to the facts that the supervisor folds."""

from datetime import datetime
from functools import reduce

from stretto.bus.delivery import Delivery
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import DecodeError, Unverified
from stretto.bus.hops import tell_message
from stretto.bus.jetstream import Stored
from stretto.bus.run_log import stand_ins
from stretto.bus.subjects import RunSubject, Subjects, TaskKey
from stretto.bus.wire import Wire
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision
from stretto.shared.contracts.question import Question, question_id
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult
from stretto.shared.contracts.timer import TimerFired as TimerMessage
from stretto.supervisor.facts import (
    Answered,
    Asked,
    CommandGiven,
    Decided,
    Fact,
    RequestAccepted,
    ResultRecorded,
    TimerFired,
)
from stretto.supervisor.state import RunState, evolve

__all__ = ["FactReader"]


class FactReader:
    """Decodes facts. What a message says of its origin must be what its subject says: only the subject is guarded by permissions."""

    def __init__(self, *, subjects: Subjects, wire: Wire) -> None:
        self._subjects = subjects
        self._wire = wire

    async def fact(self, place: RunSubject, delivery: Delivery) -> Fact:
        """The fact that a delivery on the subject `place` brings.

        Raises:
            DecodeError: it brings none.
        """
        stored = Stored(delivery.subject, delivery.seq, delivery.at, delivery.data, delivery.headers)
        envelope = await self._open(place, stored)
        tell_message(envelope.id)
        return _fact(place, envelope, stored.seq, stored.at)

    async def fold(self, log: list[Stored]) -> RunState:
        """The state that a run's log gives. What cannot be read counts for nothing: its delivery is dead-lettered."""
        return reduce(evolve, await self.facts(log), RunState())

    async def facts(self, log: list[Stored]) -> list[Fact]:
        """What can be read of a run's log."""
        facts: list[Fact] = []
        for stored in log:
            try:
                place = self._subjects.parse_run(stored.subject)
                facts.append(_fact(place, await self._open(place, stored), stored.seq, stored.at))
            except (DecodeError, ValueError):
                continue
        return facts

    async def _open(self, place: RunSubject, stored: Stored) -> Envelope:
        if place.kind == "schedule":
            raise DecodeError("a timer that is set is no fact yet")
        principal = place.tail[0] if place.kind in {"request", "command"} else "unknown"
        defaults = stand_ins(stored, place.key, principal)
        envelope = await self._wire.unpack(stored.data, stored.headers, defaults=defaults)
        if (envelope.tenant, envelope.run) != (place.key.tenant, place.key.run):
            raise Unverified("the envelope says another tenant or run than its subject")
        return envelope


def _fact(place: RunSubject, envelope: Envelope, seq: int, at: datetime) -> Fact:
    match place.kind, place.tail:
        case "request", (principal,):
            _same_sender(envelope, principal)
            return RequestAccepted(seq, at, open_envelope(envelope, Request), principal)
        case "decision", ():
            return Decided(seq, at, open_envelope(envelope, Decision))
        case "result", (role, task, attempt):
            result = open_envelope(envelope, TaskResult)
            if (result.role, result.task, str(result.attempt)) != (role, task, attempt):
                raise Unverified("the result says another role, task or attempt than its subject")
            return ResultRecorded(seq, at, result)
        case "question", (role, task, attempt, position):
            question = open_envelope(envelope, Question)
            if (question.role, question.task, str(question.attempt), str(question.position)) != place.tail:
                raise Unverified("the question says another role, task, attempt or position than its subject")
            if question.id != question_id(TaskKey(place.key, role, task, int(attempt)), int(position)):
                raise Unverified("the question has another id than its place gives it")
            return Asked(seq, at, question)
        case "command", (principal, command_id):
            _same_sender(envelope, principal)
            command = open_envelope(envelope, Command)
            if command.question not in (None, command_id):
                raise Unverified("the command's id is not that of the question that it settles")
            return CommandGiven(seq, at, command, principal, command_id)
        case "timer", (name,):
            timer = open_envelope(envelope, TimerMessage)
            if timer.name != name:
                raise Unverified("the timer says another name than its subject")
            return TimerFired(seq, at, name, timer.origin_seq)
        case "answer", ():
            return Answered(seq, at, open_envelope(envelope, Answer))
        case kind, _:
            raise DecodeError(f"{kind} is no fact")


def _same_sender(envelope: Envelope, principal: str) -> None:
    if envelope.sender != principal:
        raise Unverified("the envelope says another sender than its subject")
