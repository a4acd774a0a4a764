"""Question and Settled: what an attempt asks a person, and how it was settled."""

import hashlib
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from stretto.bus.message import Message, Value
from stretto.bus.subjects import TaskKey, Token

__all__ = ["Question", "Settled", "question_id"]


def question_id(key: TaskKey, position: int) -> str:
    """The id of the question that the attempt's step at `position` asks; no other question of the tenant has it.

    It is the id of the command that settles it, so that the bus takes one such command only.
    """
    place = f"{key.run.run}.{key.role}.{key.task}.{key.attempt}.{position}"
    return f"q-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


class Question(Message):
    """An attempt waits for a person. A fact of the run, written once by the agent.

    Attributes:
        id: see `question_id`.
        task, attempt, role: who asks.
        position: of the step that asks, among the attempt's steps.
        digest: of what is asked, so that the answer goes to no other question.
        kind: `approval` is settled by approve or reject alone, `question` also by an answer in words.
        text: what the person has to decide, in one sentence.
        summary: what was asked of the run, what was done and why a person is needed.
        points: what is open, one by one.
        options: what the person can choose, for people.
        expires_in_s: how long it waits, by the server's clock.
    """

    TYPE: ClassVar[str] = "question"
    PLACE: ClassVar[tuple[str, ...]] = ("role", "task", "attempt", "position")

    id: Token
    task: Token
    attempt: Annotated[int, Field(ge=1)]
    role: Token
    position: Annotated[int, Field(ge=0)]
    digest: str
    kind: Literal["question", "approval"] = "question"
    text: Annotated[str, Field(min_length=1, max_length=4_000)]
    summary: str = ""
    points: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    expires_in_s: Annotated[float, Field(gt=0, le=90 * 86_400)] = 7 * 86_400.0


class Settled(Value):
    """How a question was settled; it goes back to the agent with the task.

    Attributes:
        question: its id; position, digest: as it says.
        outcome: `expired` when nobody decided in time.
        text: the person's words: the answer, or a note beside an approval or rejection.
        principal: who decided; empty when it expired.
        at: when, by the server's clock.
    """

    question: Token
    position: Annotated[int, Field(ge=0)]
    digest: str
    outcome: Literal["answered", "approved", "rejected", "expired"]
    text: str = ""
    principal: str = ""
    at: AwareDatetime
