"""ProviderModel: a language model behind a provider's API, with replies that fit their type or a typed error."""

import asyncio
import json
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import BadReply, CannotDo, ContextOverflow, ModelError, Refused, TimedOut, Truncated
from stretto.shared.models.exchange import Ask, Endpoint, Means, Said, Shape, Turn
from stretto.shared.models.fault import ShapeRefused
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from stretto.shared.models.reply_text import Unfit, read_output
from stretto.shared.models.schema import plain_schema, strict_schema
from stretto.shared.prompt import render_prompt

__all__ = ["ProviderModel"]

_PACKAGE = "stretto.shared.models"


@dataclass(frozen=True, slots=True, repr=False)
class _Brief:
    instructions: str
    question: str
    documents: Sequence[Document]


class _Tally:
    """What one call of `generate` has taken so far, whatever becomes of it."""

    def __init__(self) -> None:
        self._done = Usage()
        self.said = Said()

    @property
    def usage(self) -> Usage:
        return self._done + self.said.usage

    def next(self) -> Said:
        self._done = self.usage
        self.said = Said()
        return self.said


class ProviderModel:
    """Asks, checks the reply, and has the model mend one that does not fit.

    A server that does not take schemas is found out by the first request that it refuses; from then on it gets the schema in the
    instructions. Servers that take schemas and ignore them are found out by their replies, which are checked in any case.

    Args:
        name: `provider:model`.
        time_limit_s: for a whole call, repairs included.
        repairs: how often a reply that does not fit is sent back.
    """

    def __init__(self, *, name: str, endpoint: Endpoint, time_limit_s: float, repairs: int) -> None:
        self._name = name
        self._endpoint = endpoint
        self._time_limit_s = time_limit_s
        self._repairs = repairs
        self._refused: WeakKeyDictionary[type[BaseModel], set[Means]] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        return self._name

    def means(self, output_type: type[BaseModel]) -> Means:
        """What makes the replies of this type fit, as far as is known by now.

        Raises:
            CannotDo: the type has no JSON schema.
        """
        return self._shape(output_type).means

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
        tally = _Tally()
        limit = asyncio.timeout(self._time_limit_s)
        try:
            async with limit:
                return await self._converse(output_type, _Brief(instructions, question, documents), on_text, tally)
        except TimeoutError:
            if not limit.expired():  # of `on_text`
                raise
        except ModelError as error:
            error.usage = tally.usage
            raise
        raise TimedOut(f"{self._name} had no whole answer after {self._time_limit_s:g} s", usage=tally.usage)

    async def _converse(
        self, output_type: type[Output], brief: _Brief, on_text: OnText | None, tally: _Tally
    ) -> Reply[Output]:
        turns: tuple[Turn, ...] = ()
        while True:
            shape = self._shape(output_type)
            ask = replace(self._ask(brief, shape), turns=turns)
            try:
                await self._exchange(ask, None if turns else on_text, tally.next())
            except ShapeRefused:
                self._refused.setdefault(output_type, set()).add(shape.means)
                continue
            self._check_stop(tally.said)
            found = _read(output_type, tally.said.text)
            if not isinstance(found, Unfit):
                return Reply(
                    output=found,
                    model=self._name,
                    usage=tally.usage,
                    confidence=_confidence(found),
                    request_id=tally.said.request_id,
                )
            if len(turns) == self._repairs:
                raise BadReply(
                    f"{self._name} gave no {output_type.__name__} in {self._repairs + 1} replies ({found.kinds})",
                    request_id=tally.said.request_id,
                )
            turns += (Turn(tally.said.text, self._objection(found, shape)),)

    async def _exchange(self, ask: Ask, on_text: OnText | None, said: Said) -> None:
        async with aclosing(self._endpoint.call(ask, said, stream=on_text is not None)) as pieces:
            async for piece in pieces:
                if on_text is not None:
                    await on_text(piece)

    def _check_stop(self, said: Said) -> None:
        match said.stop:
            case "length":
                raise Truncated(
                    f"{self._name} reached the limit of its reply: ask for less, or raise max_output_tokens",
                    request_id=said.request_id,
                )
            case "overflow":
                raise ContextOverflow(
                    f"{self._name} has no room left to reply: give it less to read", request_id=said.request_id
                )
            case "refused":
                why = f" ({said.category})" if said.category else ""
                raise Refused(
                    f"{self._name} declines to answer{why}", category=said.category, request_id=said.request_id
                )
            case "done" | None:
                pass

    def _shape(self, output_type: type[BaseModel]) -> Shape:
        try:
            strict, plain = strict_schema(output_type), plain_schema(output_type)
        except PydanticInvalidForJsonSchema as error:
            raise CannotDo(f"{output_type.__name__} has no JSON schema: {error.message}") from error
        refused = self._refused.get(output_type, set[Means]())
        usable: list[Means] = [
            one for one in self._endpoint.means if one not in refused and (one != "strict" or strict)
        ]
        means = usable[0]  # every protocol has `text`, which is never refused
        name = re.sub(r"[^A-Za-z0-9_-]", "_", output_type.__name__)[:64]
        return Shape(means, name, strict if means == "strict" and strict else plain)

    def _ask(self, brief: _Brief, shape: Shape) -> Ask:
        instructions = brief.instructions
        if brief.documents:
            instructions = render_prompt(
                "documents",
                package=_PACKAGE,
                instructions=instructions,
                blocks=self._endpoint.document_blocks,
            )
        # Also where the server enforces it: many models write better when they know what they are held to.
        if shape.means in ("object", "text") or self._endpoint.compatible:
            schema = json.dumps(shape.schema, ensure_ascii=False)
            instructions = render_prompt("schema", package=_PACKAGE, instructions=instructions, schema=schema)
        if not brief.documents and not brief.question:  # a request needs something to reply to
            return Ask(instructions="", question=instructions, documents=(), shape=shape)
        return Ask(instructions=instructions, question=brief.question, documents=brief.documents, shape=shape)

    def _objection(self, unfit: Unfit, shape: Shape) -> str:
        return render_prompt(
            "repair", package=_PACKAGE, problem=unfit.problem, schema=json.dumps(shape.schema, ensure_ascii=False)
        )


def _read(output_type: type[Output], text: str) -> Output | Unfit:
    # Given back, not raised: an error that is raised from it would carry the model's words along.
    try:
        return read_output(output_type, text)
    except Unfit as unfit:
        return unfit


def _confidence(output: BaseModel) -> float | None:
    value = getattr(output, "confidence", None)
    return value if isinstance(value, float) else None
