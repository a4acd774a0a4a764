"""BudgetedModel: a model that an attempt pays from its purse, and what answers when that is empty."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, cast

from stretto.agents.edge import Edge
from stretto.shared.context.room import room_of
from stretto.shared.models.errors import CannotDo
from stretto.shared.models.protocol import (
    CallsAsked,
    Document,
    Hop,
    Model,
    OnText,
    Output,
    Purse,
    Reply,
    Round,
    ToolModel,
    ToolSpec,
)
from stretto.shared.money.errors import BudgetSpent
from stretto.shared.telemetry.fallback import tell_fallback

__all__ = ["BudgetedModel"]

_REASON: Final = "budget"


class BudgetedModel:
    """Calls the model with the purse; once the edge says that the budget is used up, the spare model, which costs nothing."""

    def __init__(self, model: Model, *, purse: Purse, edge: Edge, spare: Model | None) -> None:
        self._model = model
        self._purse = purse
        self._edge = edge
        self._spare = spare

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def context_tokens(self) -> int | None:
        """How many tokens may be sent to the model."""
        return room_of(self._model)

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
        """As `Model.generate`."""

        async def ask(model: Model, purse: Purse | None) -> Reply[Output]:
            return await model.generate(
                output_type,
                instructions=instructions,
                question=question,
                documents=documents,
                on_text=on_text,
                purse=purse,
            )

        if self._edge.spent is not None and self._spare is not None:
            return await self._spared(ask, self._edge.spent, self._spare)
        return await ask(self._model, purse or self._purse)

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
        """As `ToolModel.take_turn`; a model that knows no tools replies without them, and so does the spare one."""
        if hasattr(self._model, "take_turn") and (self._edge.spent is None or self._spare is None):
            return await cast("ToolModel", self._model).take_turn(
                output_type,
                instructions=instructions,
                question=question,
                documents=documents,
                tools=tools,
                rounds=rounds,
                on_text=on_text,
                purse=purse or self._purse,
            )
        return await self.generate(
            output_type,
            instructions=instructions,
            question=question,
            documents=documents,
            on_text=on_text,
            purse=purse,
        )

    async def _spared(
        self, ask: Callable[[Model, Purse | None], Awaitable[Reply[Output]]], spent: BudgetSpent, spare: Model
    ) -> Reply[Output]:
        try:
            reply = await ask(spare, None)
        except CannotDo as error:
            raise CannotDo(f"{spent}; and without money it cannot be done: {error}") from error
        hop = Hop(model=self.name, reason=_REASON, detail=str(spent).partition(":")[0])
        tell_fallback(hop)
        return replace(reply, hops=(hop, *reply.hops))
