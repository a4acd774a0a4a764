"""AskedQuestion: a question as the log of its run shows it: who asked, until when it waits, and how it was settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stretto.bus.envelope import Body, open_envelope
from stretto.bus.errors import DecodeError
from stretto.bus.subjects import RunSubject, TaskKey
from stretto.bus.tenant_logs import RunMessage
from stretto.shared.contracts.answer import Answer, RunEnd
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.question import Question, Settled, question_id
from stretto.shared.contracts.settlement import expire, settle
from stretto.shared.contracts.task import TaskResult
from stretto.shared.contracts.timer import TimerFired

__all__ = ["AskedQuestion", "asked_questions", "id_at", "settlement"]


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question of a run, and how it stands.

    Attributes:
        agent: the instance that asked.
        seq: where the question stands in the run's stream.
        asked_at: when it was stored there, by the server's clock.
        settled: how it was settled, or that it expired; None while nobody has decided.
        moot: the attempt that asked has ended without a decision.
        ended: how the run ended, or is about to; None while it goes on.
    """

    run: str
    question: Question
    agent: str
    seq: int
    asked_at: datetime
    settled: Settled | None = None
    moot: bool = False
    ended: RunEnd | None = None

    @property
    def expires_at(self) -> datetime:
        return self.asked_at + timedelta(seconds=self.question.expires_in_s)

    @property
    def is_open(self) -> bool:
        """Whether a decision would count now."""
        return self.settled is None and self.ended is None and not self.moot


def id_at(place: RunSubject) -> str:
    """The id of a question that is stored at this place."""
    role, task, attempt, position = place.tail
    return question_id(TaskKey(place.key, role, task, int(attempt)), int(position))


def asked_questions(log: Sequence[RunMessage]) -> list[AskedQuestion]:
    """The questions of one run as they stand, in the order in which they were asked.

    `log` holds its messages in their order, or those that have to do with its questions. What supervisors take for no fact counts for
    nothing here either.
    """
    ended, until = _end(log)
    counting = [one for one in log if until is None or one.seq <= until]
    results = {one.subject.tail: one.seq for one in reversed(counting) if _is_result(one)}
    found: dict[str, AskedQuestion] = {}
    for one in counting:
        question = _question(one)
        if question is not None and question.id not in found:
            result_seq = results.get(one.subject.tail[:3])
            settling = (settlement(question, other) for other in counting if not result_seq or other.seq < result_seq)
            settled = next((by for by in settling if by is not None), None)
            found[question.id] = AskedQuestion(
                run=one.subject.key.run,
                question=question,
                agent=one.envelope.sender,
                seq=one.seq,
                asked_at=one.at,
                settled=settled,
                moot=settled is None and result_seq is not None,
                ended=ended,
            )
    return list(found.values())


def settlement(question: Question, one: RunMessage) -> Settled | None:
    """How this message of the run settles the question; None if it does not."""
    match one.subject.kind, one.subject.tail:
        case "command", (principal, question.id):
            command = _opened(one, Command)
            if command is not None and one.envelope.sender == principal:
                return settle(question, command, principal, one.at)
        case "timer", (question.id,):
            timer = _opened(one, TimerFired)
            if timer is not None and timer.name == question.id:
                return expire(question, one.at)
        case _:
            pass
    return None


def _end(log: Sequence[RunMessage]) -> tuple[RunEnd | None, int | None]:
    """How the run ended, and where in the log that began; a run that was cancelled ends, whether or not that was answered yet."""
    ended: RunEnd | None = None
    began: int | None = None
    for one in log:
        if one.subject.kind == "command" and ended is None:
            command = _opened(one, Command)
            if command is not None and command.verb == "cancel" and one.envelope.sender == one.subject.tail[0]:
                ended, began = "cancelled", one.seq
        elif one.subject.kind == "answer":
            answer = _opened(one, Answer)
            if answer is not None:
                return answer.state, began or one.seq
    return ended, began


def _question(one: RunMessage) -> Question | None:
    if one.subject.kind != "question":
        return None
    question = _opened(one, Question)
    if question is None:
        return None
    place = (question.role, question.task, str(question.attempt), str(question.position))
    return question if place == one.subject.tail and question.id == id_at(one.subject) else None


def _is_result(one: RunMessage) -> bool:
    return one.subject.kind == "result" and _opened(one, TaskResult) is not None


def _opened(one: RunMessage, body_type: type[Body]) -> Body | None:
    key, envelope = one.subject.key, one.envelope
    if (envelope.tenant, envelope.run) != (key.tenant, key.run):
        return None
    try:
        return open_envelope(envelope, body_type)
    except DecodeError:  # junk counts for nothing
        return None
