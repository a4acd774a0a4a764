"""StepModel: the model of an attempt. Each of its turns is a step, and so is each call of a tool that it asks for."""

import contextlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import Final, cast

from pydantic import JsonValue

from stretto.agents.effects import Effects
from stretto.agents.errors import ToolRoundsSpent
from stretto.agents.live_text import LiveText
from stretto.agents.toolbox import ReplyCalls, Toolbox
from stretto.shared.context.assembly import assemble
from stretto.shared.context.room import room_of
from stretto.shared.context.tokens import most_tokens_of
from stretto.shared.contracts.conversation import Conversation
from stretto.shared.contracts.step import ModelOutcome
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import (
    CallsAsked,
    Document,
    Hop,
    Model,
    Output,
    Reply,
    Round,
    ToolCall,
    ToolModel,
    ToolOutcome,
    ToolSpec,
)
from stretto.shared.prompt import Prompt

__all__ = ["ROUNDS", "StepModel"]

ROUNDS: Final = 8
"""So often a model may ask for tools before it replies, unless an agent says otherwise."""


class StepModel:
    """The agent's model. A reply that was paid for once is not asked for again when the attempt is.

    Args:
        toolbox: the tools that the model may be allowed to ask for.
        live: is told what the model writes while it does.
        seat: its place among several that are asked the same: their steps are told apart by it.
        conversation: what was said in it before: the model is given that with the documents, as far as there is room.
    """

    def __init__(
        self,
        model: Model,
        effects: Effects,
        *,
        toolbox: Toolbox | None = None,
        live: LiveText | None = None,
        seat: int | None = None,
        conversation: Conversation | None = None,
    ) -> None:
        self._model = model
        self._effects = effects
        self._toolbox = toolbox
        self._live = live
        self._seat = seat
        self._conversation = conversation

    @property
    def name(self) -> str:
        return self._model.name

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document | str] = (),
        tools: bool | Collection[str] = False,
        rounds: int = ROUNDS,
    ) -> Reply[Output]:
        """As `Model.generate`; a plain string is a document without a source.

        With `tools`, the model may have some called before it replies, several side by side: all that the agent has, or those of these
        names. What they return is shown to it as data; a tool's failure is shown to it once. A model that knows no tools replies
        without them. Usage and hops of the reply are those of all turns.

        Args:
            rounds: so often it may ask for tools.

        Raises:
            ToolRoundsSpent: it asks once more.
            ToolFailed: a tool failed again; and what else `ReplyCalls.outcomes_of` raises.
        """
        given = [_document(position, one) for position, one in enumerate(documents)]
        offered = self._offered(tools)
        calls = self._toolbox.for_reply() if self._toolbox and offered else None
        done: list[Round] = []
        usage, hops = Usage(), tuple[Hop, ...]()
        while True:
            turn = await self._turn(output_type, instructions, question, given, offered, done)
            usage, hops = usage + turn.usage, hops + turn.hops
            if isinstance(turn, Reply):
                return replace(turn, usage=usage, hops=hops)
            if calls is None or len(done) == rounds:
                raise ToolRoundsSpent(f"{turn.model} asked for tools {len(done) + 1} times and has not replied")
            done.append(Round(turn.text, turn.calls, await _outcomes(turn.calls, offered, calls)))

    def _offered(self, tools: bool | Collection[str]) -> tuple[ToolSpec, ...]:
        specs = self._toolbox.specs if self._toolbox and tools else ()
        return specs if isinstance(tools, bool) else tuple(one for one in specs if one.name in tools)

    async def _turn(
        self,
        output_type: type[Output],
        instructions: str,
        question: str,
        documents: Sequence[Document],
        tools: Sequence[ToolSpec],
        rounds: Sequence[Round],
    ) -> Reply[Output] | CallsAsked:
        async def call(_: str) -> JsonValue:
            given = assemble(
                instructions=instructions,
                question=question,
                documents=documents,
                conversation=self._conversation,
                taken_tokens=most_tokens_of(json.dumps(beside, ensure_ascii=False)),
                room_tokens=room_of(self._model),
            )
            async with self._live.reply() if self._live else contextlib.nullcontext() as on_text:
                if tools and hasattr(self._model, "take_turn"):
                    turn = await cast("ToolModel", self._model).take_turn(
                        output_type,
                        instructions=instructions,
                        question=question,
                        documents=given.documents,
                        tools=tools,
                        rounds=rounds,
                        on_text=on_text,
                    )
                else:
                    turn = await self._model.generate(
                        output_type,
                        instructions=instructions,
                        question=question,
                        documents=given.documents,
                        on_text=on_text,
                    )
            outcome = _outcome(turn, instructions).model_copy(update={"left_out": given.left_out})
            return outcome.model_dump(mode="json")

        def parse(output: JsonValue) -> Reply[Output] | CallsAsked:
            return _recorded(ModelOutcome.model_validate(output), output_type)

        beside: dict[str, JsonValue] = {}
        if tools:
            beside["tools"] = [
                {"name": one.name, "description": one.description, "schema": dict(one.schema)} for one in tools
            ]
            beside["rounds"] = [_round(one) for one in rounds]
        # All that it may be given, not what had room: that follows from it and from the settings, which may change meanwhile.
        value: dict[str, JsonValue] = {
            "instructions": instructions,
            "question": question,
            "documents": [_told(one) for one in documents],
            **beside,
        }
        if self._seat is not None:
            value["seat"] = self._seat
        if self._conversation is not None:
            value["conversation"] = self._conversation.model_dump(mode="json")
        return await self._effects.perform("model", output_type.__name__, value, call, parse)


async def _outcomes(
    calls: Sequence[ToolCall], offered: Sequence[ToolSpec], reply_calls: ReplyCalls
) -> tuple[ToolOutcome, ...]:
    """What comes of the calls, in their order. What was not offered is not called, whether the agent has it or not."""
    names = [one.name for one in offered]
    allowed = [one for one in calls if one.name in names]
    found = {one.call: one for one in await reply_calls.outcomes_of(allowed)}
    unknown = f"there is no such tool here: there is {', '.join(names)}"
    return tuple(found.get(one.id) or ToolOutcome(call=one.id, text=unknown, failed=True) for one in calls)


def _outcome(turn: Reply[Output] | CallsAsked, instructions: str) -> ModelOutcome:
    """What is recorded of a turn."""
    known = ModelOutcome(
        output=None,
        model=turn.model,
        usage=turn.usage,
        request_id=turn.request_id,
        hops=turn.hops,
        prompt=_prompt_of(instructions),
    )
    match turn:
        case CallsAsked():
            return known.model_copy(update={"calls": turn.calls, "text": turn.text})
        case Reply():
            output = turn.output.model_dump(mode="json")
            return known.model_copy(update={"output": output, "confidence": turn.confidence})


def _prompt_of(instructions: str) -> str:
    """Name and digest of the template that they were made from, where they were."""
    return (
        f"{instructions.name}@{instructions.digest}" if isinstance(instructions, Prompt) and instructions.name else ""
    )


def _recorded(outcome: ModelOutcome, output_type: type[Output]) -> Reply[Output] | CallsAsked:
    """The turn of which this is the record."""
    if outcome.calls:
        return CallsAsked(
            outcome.calls, outcome.model, outcome.usage, outcome.text, outcome.request_id, hops=outcome.hops
        )
    return Reply(
        output=output_type.model_validate(outcome.output),
        model=outcome.model,
        usage=outcome.usage,
        confidence=outcome.confidence,
        request_id=outcome.request_id,
        hops=outcome.hops,
    )


def _document(position: int, one: Document | str) -> Document:
    return one if isinstance(one, Document) else Document(id=f"text-{position}", text=one)


def _told(document: Document) -> JsonValue:
    return {**asdict(document), "refs": list(document.refs)}


def _round(one: Round) -> JsonValue:
    return {
        "text": one.text,
        "calls": [call.model_dump(mode="json") for call in one.calls],
        "outcomes": [outcome.model_dump(mode="json") for outcome in one.outcomes],
    }
