"""Command: what a person or an app says about a run that is under way."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from stretto.bus.message import Message
from stretto.bus.subjects import Token

__all__ = ["Command"]


class Command(Message):
    """Cancel the run, or settle one of its questions.

    Attributes:
        question: id of the question that `answer`, `approve` or `reject` settles; it is also the command's id in its subject.
        text: the answer, or a note beside an approval or rejection.
        reason: why the run is cancelled, for people.
    """

    TYPE: ClassVar[str] = "command"

    verb: Literal["cancel", "answer", "approve", "reject"]
    question: Token | None = None
    text: Annotated[str, Field(max_length=32_000)] = ""
    reason: Annotated[str, Field(max_length=4_000)] = ""

    @model_validator(mode="after")
    def _names_its_question(self) -> "Command":
        if (self.question is None) != (self.verb == "cancel"):
            raise ValueError("answer, approve and reject name a question; cancel names none")
        if self.verb == "answer" and not self.text.strip():
            raise ValueError("the answer is empty")
        return self
