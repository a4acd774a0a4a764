"""Answer: the one terminal state of a run."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from stretto.bus.message import Message, Value
from stretto.bus.subjects import Token
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.findings import Confidence
from stretto.shared.contracts.review import Review
from stretto.shared.contracts.usage import Usage

__all__ = ["Answer", "Citation", "RunEnd", "TaskReport"]

RunEnd = Literal["completed", "failed", "cancelled", "rejected"]


class Citation(Value):
    """What `[number]` in the answer's text stands for: an exact quote and where it is."""

    number: Annotated[int, Field(ge=1)]
    source: str
    place: str
    quote: str
    finding: str = ""


class TaskReport(Value):
    """What one task of the run did for the answer.

    Attributes:
        state: how it ended; `skipped` when the run ended before it was needed or done.
        contributed: numbers of the citations that came from it.
        seconds: wall time over its attempts.
        by_model: the part of `usage` that each model took.
    """

    task: Token
    role: Token
    state: Literal["succeeded", "failed", "skipped"]
    agent: str = ""
    attempts: Annotated[int, Field(ge=0)] = 0
    seconds: Annotated[float, Field(ge=0)] = 0.0
    usage: Usage = Usage()
    models: tuple[str, ...] = ()
    contributed: tuple[int, ...] = ()
    by_model: dict[str, Usage] = Field(default_factory=dict)


class Answer(Message):
    """How a run ended. Written once.

    Attributes:
        escalation: the last one, when a person was asked to decide; `retry_in_s`: the system was too busy for the request; it may be
            sent again after that many seconds.
        answered: True when `text` answers the request; False when the documents do not, or the run did not complete.
        text: with `[1]`-style citations that resolve in `citations`.
        output: the output of the answering task when it is not a draft of ours.
        reason: for any state but completed, why, for people.
        confidence: 0 to 1; None when nothing was answered.
        remarks: what people should know of how the answer came about, each once (see `TaskResult`).
    """

    TYPE: ClassVar[str] = "answer"

    state: RunEnd
    answered: bool = False
    text: str = ""
    citations: tuple[Citation, ...] = ()
    output: dict[str, JsonValue] | None = None
    review: Review | None = None
    escalation: Escalation | None = None
    confidence: Confidence | None = None
    usage: Usage = Usage()
    playbook: str = ""
    reason: str = ""
    retry_in_s: Annotated[float, Field(gt=0)] | None = None
    tasks: tuple[TaskReport, ...] = ()
    remarks: tuple[str, ...] = ()
