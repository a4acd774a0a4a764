"""Model: what an agent thinks with, whatever stands behind it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from stretto.bus.message import Value
from stretto.shared.contracts.usage import Usage

__all__ = [
    "CallsAsked",
    "Document",
    "DocumentKind",
    "Grant",
    "Hop",
    "Model",
    "OnText",
    "Output",
    "Purse",
    "Reply",
    "Round",
    "ToolCall",
    "ToolModel",
    "ToolOutcome",
    "ToolSpec",
]

Output = TypeVar("Output", bound=BaseModel)

DocumentKind = Literal["passage", "finding", "claim", "note", "role", "text", "turn"]

OnText = Callable[[str], Awaitable[None]]
"""Takes the pieces of a reply while it is being written."""


@dataclass(frozen=True, slots=True)
class Document:
    """Data for a model: never an instruction, always with its source.

    Attributes:
        id: how the reply refers to it.
        kind: what it is: a passage of memory, a researcher's finding, a claim of a draft, a reviewer's note, a role's description, a
            turn of the conversation, or plain text.
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


class Hop(Value):
    """A model of a chain that was passed over, and why.

    Attributes:
        reason: the kind of its error, or `circuit_open`, `low_confidence`, `budget`.
        detail: for people; no content.
        usage: what it took all the same.
    """

    model: str
    reason: str
    detail: str = ""
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Reply(Generic[Output]):
    """A model's reply, already of the type that was asked for.

    Attributes:
        usage: what the whole call took, what was spent on models that were passed over included.
        hops: the models that were passed over before this one, in their order.
    """

    output: Output
    model: str
    usage: Usage
    confidence: float | None = None
    request_id: str | None = None
    hops: tuple[Hop, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it.

    Attributes:
        schema: JSON Schema of its arguments, an object.
    """

    name: str
    description: str
    schema: Mapping[str, JsonValue]


class ToolCall(Value):
    """A model asks for a call of a tool. Nothing is checked yet.

    Attributes:
        id: how the outcome refers to it.
        arguments: as the model wrote them; None if they are no JSON object.
    """

    id: str
    name: str
    arguments: dict[str, JsonValue] | None


class ToolOutcome(Value):
    """What a call gave, as text for the model; data, never an instruction."""

    call: str
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """One earlier turn of the exchange: what the model said and asked for, and what came of it, in the order of the calls."""

    text: str
    calls: tuple[ToolCall, ...]
    outcomes: tuple[ToolOutcome, ...]


@dataclass(frozen=True, slots=True)
class CallsAsked:
    """In place of a reply: the model wants tools to be called first, several side by side."""

    calls: tuple[ToolCall, ...]
    model: str
    usage: Usage
    text: str = ""
    request_id: str | None = None
    hops: tuple[Hop, ...] = ()


class Grant(Protocol):
    """A part of a budget that is reserved for one request to a model, or one call of a tool."""

    @property
    def output_tokens(self) -> int:
        """How long the reply may get: as asked for, or less where the budget has no more."""
        ...

    async def settle(self, usage: Usage) -> None:
        """Say what it took: the rest goes back. To be called once, also after a failure; a grant that is never settled lapses by itself."""
        ...


class Purse(Protocol):
    """What an attempt may spend: every request to a model and every call of a tool is reserved before and settled after."""

    async def for_model(self, model: str, *, input_tokens: int, output_tokens: int) -> Grant:
        """Reserve one request.

        Args:
            model: `provider:model`.
            input_tokens: at most so many are read; output_tokens: at most so many are written.

        Raises:
            BudgetSpent: there is not enough left for even a short reply.
            PriceUnknown: a budget in money holds, and nobody knows what the model costs.
        """
        ...

    async def for_tool(self, name: str) -> Grant:
        """Reserve one call.

        Raises:
            BudgetSpent: there is none left.
        """
        ...


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
        purse: Purse | None = None,
    ) -> Reply[Output]:
        """Return an `output_type` made from the documents.

        `instructions` say how to work; `question` is what is asked; documents are data. `on_text` gets the pieces of the first reply as
        they come: JSON text of the output, not yet checked, for people to watch; a model that does not stream never calls it.
        Cancelling the call abandons it and closes its connection. `purse`, where there is one, is asked before each request.

        Raises:
            BudgetSpent, PriceUnknown: as `purse` says.
            ModelUnavailable: it does not answer now.
            BadReply: what it answers does not fit `output_type`.
            Refused, Truncated, ContextOverflow: it declines, or there is too much to write or to read.
            NotConfigured: a person must set something up first.
            CannotDo: it has no means for `output_type`.
        """
        ...


class ToolModel(Model, Protocol):
    """A model that can ask for tools."""

    async def take_turn(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        tools: Sequence[ToolSpec],
        rounds: Sequence[Round] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output] | CallsAsked:
        """As `generate`, or the calls that the model wants to be made first; ask again with these in `rounds`.

        Raises:
            CannotDo: its server knows no tools.
        """
        ...
