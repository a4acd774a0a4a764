"""Exchange: one request to a language model's server and what came back, in no provider's words."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import Document, Round, ToolCall, ToolSpec
from stretto.shared.models.schema import JsonSchema

__all__ = ["Ask", "Endpoint", "Means", "Said", "Shape", "Stop", "Turn"]

Means = Literal["strict", "loose", "object", "text"]
"""What makes a reply fit: the server enforces the schema; it knows the schema; it enforces some JSON object; nothing but our asking."""

Stop = Literal["done", "paused", "length", "refused", "overflow"]
"""Why a model stopped: it was done (with its reply, or with asking for tools), it wants to be asked to go on, it was at the limit of its
reply, it (or a filter) declined, or its context was full."""


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
    """What is sent. Instructions and data go in different fields of the request, so that no document is read as an instruction.

    Attributes:
        tools: what the model may ask for; rounds: what it asked for so far, and what came of it.
        turns: replies that did not fit.
        begun: a reply that the model is to go on with.
        output_tokens: how long the reply may get; None for the endpoint's own limit.
    """

    instructions: str = field(repr=False)
    question: str = field(repr=False)
    documents: Sequence[Document] = field(repr=False)
    shape: Shape
    tools: Sequence[ToolSpec] = field(default=(), repr=False)
    rounds: Sequence[Round] = field(default=(), repr=False)
    turns: Sequence[Turn] = ()
    begun: str = field(default="", repr=False)
    output_tokens: int | None = None


@dataclass(slots=True)
class Said:
    """What has come back so far; whole when `stop` is set.

    Attributes:
        usage: one call as soon as the server has begun to answer; its tokens once the server tells them.
        request_id: the provider's name for the request, of a header; response_id: for the reply, of its body.
        model: which one answered, as the server calls it. It may call it anything.
    """

    text: str = field(default="", repr=False)
    calls: list[ToolCall] = field(default_factory=list[ToolCall], repr=False)
    stop: Stop | None = None
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    response_id: str | None = None
    model: str | None = None
    category: str | None = None


class Endpoint(Protocol):
    """One model at one server, spoken to in the server's protocol.

    Attributes:
        means: what the protocol has for shaping replies, the surest first.
        compatible: the server is not the provider's own: it may lack schemas, or take them and ignore them.
        document_blocks: documents go as blocks of their own kind, not as JSON.
        max_output_tokens: how long a reply gets at most; None for the server's own limit.
    """

    @property
    def means(self) -> tuple[Means, ...]: ...

    @property
    def compatible(self) -> bool: ...

    @property
    def document_blocks(self) -> bool: ...

    @property
    def max_output_tokens(self) -> int | None: ...

    def call(self, ask: Ask, said: Said, *, stream: bool) -> AsyncGenerator[str]:
        """Send the request, fill `said`, and yield the pieces of the text: as they come, or without `stream` all at once.

        Closing the generator, or cancelling the task that reads it, closes the connection.

        Raises:
            ShapeRefused: the server does not take the schema, or not together with tools.
            ModelError: as `Model.generate`.
        """
        ...
