"""Exchange: one request to a language model's server and what came back, in no provider's words."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import Document
from stretto.shared.models.schema import JsonSchema

__all__ = ["Ask", "Endpoint", "Means", "Said", "Shape", "Stop", "Turn"]

Means = Literal["strict", "loose", "object", "text"]
"""What makes a reply fit: the server enforces the schema; it knows the schema; it enforces some JSON object; nothing but our asking."""

Stop = Literal["done", "length", "refused", "overflow"]
"""Why a model stopped: it was done, at the limit of its reply, it (or a filter) declined, or its context was full."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The form that the reply must have."""

    means: Means
    name: str
    schema: JsonSchema


@dataclass(frozen=True, slots=True)
class Turn:
    """A reply that did not fit, and what was said about it."""

    reply: str = field(repr=False)
    objection: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is sent. Instructions and documents go in different fields of the request, so that no document is read as an instruction."""

    instructions: str = field(repr=False)
    question: str = field(repr=False)
    documents: Sequence[Document] = field(repr=False)
    shape: Shape
    turns: Sequence[Turn] = ()


@dataclass(slots=True)
class Said:
    """What has come back so far; whole when `stop` is set.

    Attributes:
        usage: one call as soon as the server has begun to answer; its tokens once the server tells them.
    """

    text: str = field(default="", repr=False)
    stop: Stop | None = None
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    category: str | None = None


class Endpoint(Protocol):
    """One model at one server, spoken to in the server's protocol.

    Attributes:
        means: what the protocol has for shaping replies, the surest first.
        compatible: the server is not the provider's own: it may lack schemas, or take them and ignore them.
        document_blocks: documents go as blocks of their own kind, not as JSON.
    """

    @property
    def means(self) -> tuple[Means, ...]: ...

    @property
    def compatible(self) -> bool: ...

    @property
    def document_blocks(self) -> bool: ...

    def call(self, ask: Ask, said: Said, *, stream: bool) -> AsyncGenerator[str]:
        """Send the request, fill `said`, and yield the pieces of the text: as they come, or without `stream` all at once.

        Closing the generator, or cancelling the task that reads it, closes the connection.

        Raises:
            ShapeRefused: the server does not take the schema.
            ModelError: as `Model.generate`.
        """
        ...
