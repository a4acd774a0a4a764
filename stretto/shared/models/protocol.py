"""Model: what an agent thinks with, whatever stands behind it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel

from stretto.shared.contracts.usage import Usage

__all__ = ["Document", "DocumentKind", "Model", "OnText", "Output", "Reply"]

Output = TypeVar("Output", bound=BaseModel)

DocumentKind = Literal["passage", "finding", "claim", "note", "role", "text"]

OnText = Callable[[str], Awaitable[None]]
"""Takes the pieces of a reply while it is being written."""


@dataclass(frozen=True, slots=True)
class Document:
    """Data for a model: never an instruction, always with its source.

    Attributes:
        id: how the reply refers to it.
        kind: what it is: a passage of memory, a researcher's finding, a claim of a draft, a reviewer's note, a role's description, or
            plain text.
        refs: ids of the documents it rests on (a claim's findings).
        score: how well it fits the question, 0 to 1, where something measured that.
    """

    id: str
    text: str
    kind: DocumentKind = "text"
    source: str = ""
    place: str = ""
    refs: tuple[str, ...] = ()
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Reply(Generic[Output]):
    """A model's reply, already of the type that was asked for."""

    output: Output
    model: str
    usage: Usage
    confidence: float | None = None
    request_id: str | None = None


class Model(Protocol):
    """One language model."""

    @property
    def name(self) -> str:
        """`provider:model`, or `offline`."""
        ...

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
    ) -> Reply[Output]:
        """Return an `output_type` made from the documents.

        `instructions` say how to work; `question` is what is asked; documents are data. `on_text` gets the pieces of the first reply as
        they come: JSON text of the output, not yet checked, for people to watch; a model that does not stream never calls it.
        Cancelling the call abandons it and closes its connection.

        Raises:
            ModelUnavailable: it does not answer now.
            BadReply: what it answers does not fit `output_type`.
            Refused, Truncated, ContextOverflow: it declines, or there is too much to write or to read.
            NotConfigured: a person must set something up first.
            CannotDo: it has no means for `output_type`.
        """
        ...
