"""ProviderModel: a language model behind a provider's API, with replies that fit their type, calls of tools, or a typed error."""

import asyncio
import re
from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.brief import Brief, objection
from stretto.shared.models.call_text import asks_in_words, named
from stretto.shared.models.errors import BadReply, CannotDo, ContextOverflow, ModelError, Refused, TimedOut, Truncated
from stretto.shared.models.exchange import Ask, Endpoint, Means, Said, Shape, Turn
from stretto.shared.models.fault import ShapeRefused
from stretto.shared.models.meter import Meter
from stretto.shared.models.protocol import CallsAsked, Document, OnText, Output, Purse, Reply, Round, ToolSpec
from stretto.shared.models.reply_text import Unfit, read_output
from stretto.shared.models.schema import plain_schema, strict_schema
from stretto.shared.money.errors import MoneyError
from stretto.shared.telemetry.chat import Chat

__all__ = ["ProviderModel"]

Done = TypeVar("Done")

_PAUSES: Final = 8
"""How often a model may pause in one reply."""
_OUTPUT_TOKENS: Final = 4_096
"""Asked for where a budget needs a limit and neither settings nor protocol have one: servers of one's own have small contexts."""


class _Tally:
    """What one call has taken so far, whatever becomes of it; `until` is when it is given up, by the loop's clock."""

    def __init__(self, until: float) -> None:
        self.until = until
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
    instructions. Servers that take schemas and ignore them are found out by their replies, which are checked in any case. While tools are
    offered to a compatible server the schema stands in the instructions too: most such servers hold every reply to a schema that they
    are given, so that no tool could ever be called.

    Args:
        name: `provider:model`.
        time_limit_s: for a whole call, repairs and waiting for its turn included; settling what it took is not.
        repairs: how often a reply that does not fit is sent back.
        meter: what stands around each request; by default nothing.
        base_url: of its server, for those who look at traces.
    """

    def __init__(
        self,
        *,
        name: str,
        endpoint: Endpoint,
        time_limit_s: float,
        repairs: int,
        meter: Meter | None = None,
        base_url: str | None = None,
    ) -> None:
        self._name = name
        provider, _, model = name.partition(":")
        self._chat = Chat(provider=provider, model=model, base_url=base_url)
        self._meter = meter or Meter(name=name)
        self._endpoint = endpoint
        self._time_limit_s = time_limit_s
        self._repairs = repairs
        self._refused: WeakKeyDictionary[type[BaseModel], set[tuple[Means, bool]]] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        return self._name

    def means(self, output_type: type[BaseModel]) -> Means:
        """What makes the replies of this type fit, as far as is known by now.

        Raises:
            CannotDo: the type has no JSON schema.
        """
        return self._shape(output_type, tools=False).means

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
        brief = Brief(instructions, question, documents, on_text=on_text, purse=purse)
        found = await self._call(output_type, brief)
        if isinstance(found, CallsAsked):
            raise BadReply(
                f"{self._name} asks for tools, and none were offered", request_id=found.request_id, usage=found.usage
            )
        return found

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
        """As `ToolModel.take_turn`."""
        return await self._call(
            output_type, Brief(instructions, question, documents, tools, rounds, on_text=on_text, purse=purse)
        )

    async def _call(self, output_type: type[Output], brief: Brief) -> Reply[Output] | CallsAsked:
        tally = _Tally(asyncio.get_running_loop().time() + self._time_limit_s)
        try:
            return await self._converse(output_type, brief, tally)
        except (ModelError, MoneyError) as error:
            error.usage = tally.usage
            raise

    async def _converse(self, output_type: type[Output], brief: Brief, tally: _Tally) -> Reply[Output] | CallsAsked:
        turns: tuple[Turn, ...] = ()
        while True:
            shape = self._shape(output_type, tools=bool(brief.tools))
            ask = replace(brief.ask(shape, self._endpoint), turns=turns)
            try:
                said = await self._whole(ask, brief, tally)
            except ShapeRefused:
                self._refused.setdefault(output_type, set()).add((shape.means, bool(brief.tools)))
                continue
            if said.calls:
                calls = named(said.calls, brief.rounds)
                return CallsAsked(calls, self._name, tally.usage, text=said.text, request_id=said.request_id)
            if brief.tools and self._endpoint.compatible and asks_in_words(said.text, brief.tools):
                raise CannotDo(
                    f"{self._name} writes its calls of tools into its reply: its server knows no tools, or not this model's way "
                    "of asking for them; name another model for this role",
                    request_id=said.request_id,
                )
            found = _read(output_type, said.text)
            if not isinstance(found, Unfit):
                return Reply(
                    output=found,
                    model=self._name,
                    usage=tally.usage,
                    confidence=_confidence(found),
                    request_id=said.request_id,
                )
            if len(turns) == self._repairs:
                raise BadReply(
                    f"{self._name} gave no {output_type.__name__} in {self._repairs + 1} replies ({found.kinds})",
                    request_id=said.request_id,
                )
            turns += (Turn(said.text, objection(found, shape)),)

    async def _whole(self, ask: Ask, brief: Brief, tally: _Tally) -> Said:
        """One reply, in as many requests as the model needs for it."""
        for _ in range(_PAUSES):
            said = tally.next()
            # People watch the first reply only: a mended one would come on top of it.
            await self._exchange(ask, said, brief.purse, None if ask.turns else brief.on_text, tally.until)
            said.text = ask.begun + said.text
            if said.stop != "paused":
                return said
            ask = replace(ask, begun=said.text.rstrip())
        raise BadReply(f"{self._name} paused {_PAUSES} times in one reply", request_id=tally.said.request_id)

    async def _exchange(self, ask: Ask, said: Said, purse: Purse | None, on_text: OnText | None, until: float) -> None:
        """One request: admitted, sent, priced and settled."""
        admitted = self._meter.admit(
            ask,
            purse,
            output_tokens=self._endpoint.max_output_tokens or _OUTPUT_TOKENS,
            limit_s=max(0.0, until - asyncio.get_running_loop().time()),
        )
        grant = await self._in_time(until, admitted)
        if grant is not None:
            ask = replace(ask, output_tokens=grant.output_tokens)
        max_tokens = ask.output_tokens or self._endpoint.max_output_tokens
        try:
            with self._chat.request(ask, said, max_tokens=max_tokens, stream=on_text is not None):
                try:
                    await self._in_time(until, self._send(ask, said, on_text))
                finally:
                    said.usage = self._meter.priced(said.usage)
                self._check_stop(said)
        finally:
            if grant is not None:
                await self._meter.settle(grant, said.usage)

    async def _send(self, ask: Ask, said: Said, on_text: OnText | None) -> None:
        async with aclosing(self._endpoint.call(ask, said, stream=on_text is not None)) as pieces:
            async for piece in pieces:
                if on_text is not None:
                    await on_text(piece)

    async def _in_time(self, until: float, work: Awaitable[Done]) -> Done:
        limit = asyncio.timeout_at(until)
        try:
            async with limit:
                return await work
        except TimeoutError:
            if not limit.expired():  # of `on_text`
                raise
        # Raised out here, so that nothing of the request hangs on it.
        raise TimedOut(f"{self._name} had no whole answer after {self._time_limit_s:g} s")

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
            case "done" | "paused" | None:
                pass

    def _shape(self, output_type: type[BaseModel], *, tools: bool) -> Shape:
        try:
            strict, plain = strict_schema(output_type), plain_schema(output_type)
        except PydanticInvalidForJsonSchema as error:
            raise CannotDo(f"{output_type.__name__} has no JSON schema: {error.message}") from error
        refused = self._refused.get(output_type, set[tuple[Means, bool]]())
        usable: list[Means] = [
            one for one in self._endpoint.means if (one, tools) not in refused and (one != "strict" or strict)
        ]
        # Every protocol has `text`, which is never refused.
        means = "text" if tools and self._endpoint.compatible else usable[0]
        name = re.sub(r"[^A-Za-z0-9_-]", "_", output_type.__name__)[:64]
        return Shape(means, name, strict if means == "strict" and strict else plain)


def _read(output_type: type[Output], text: str) -> Output | Unfit:
    # Given back, not raised: an error that is raised from it would carry the model's words along.
    try:
        return read_output(output_type, text)
    except Unfit as unfit:
        return unfit


def _confidence(output: BaseModel) -> float | None:
    value = getattr(output, "confidence", None)
    return value if isinstance(value, float) else None
