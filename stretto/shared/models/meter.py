"""Meter: what stands around each request to a model: rate limit and budget before it, price and settlement after it."""

import asyncio
import json
from typing import Final

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.document_text import data_texts
from stretto.shared.models.exchange import Ask
from stretto.shared.models.protocol import Grant, Purse
from stretto.shared.models.rate import Rates
from stretto.shared.money.price import Prices

__all__ = ["Meter", "most_tokens"]

_A_MESSAGE: Final = 64
"""Tokens that a protocol adds to each message, document, tool and call, at the most."""
_TYPICAL_OUTPUT_TOKENS: Final = 1_000


class Meter:
    """For one model. Without prices what it costs is told as 0, without rates nothing limits how often it is asked.

    Args:
        name: `provider:model`.
    """

    def __init__(self, *, name: str, prices: Prices | None = None, rates: Rates | None = None) -> None:
        self._name = name
        self._prices = prices
        self._rates = rates
        self._settling: set[asyncio.Task[None]] = set()

    async def admit(self, ask: Ask, purse: Purse | None, *, output_tokens: int, limit_s: float) -> Grant | None:
        """Wait until the request may be sent, and reserve it; None where nothing limits what may be spent.

        Args:
            output_tokens: how long the reply may get.
            limit_s: how long it may wait for its turn.

        Raises:
            RateLimited: there is no room within `limit_s`.
            BudgetSpent, PriceUnknown: as `Purse.for_model`.
        """
        if self._rates is None and purse is None:
            return None
        input_tokens = most_tokens(ask)
        if self._rates is not None:
            provider = self._name.partition(":")[0]
            tokens = input_tokens // 2 + min(_TYPICAL_OUTPUT_TOKENS, output_tokens)
            await self._rates.acquire(provider, tokens=tokens, limit_s=limit_s)
        if purse is None:
            return None
        return await purse.for_model(self._name, input_tokens=input_tokens, output_tokens=output_tokens)

    def priced(self, usage: Usage) -> Usage:
        """The same with what it costs, where the price is known."""
        if self._prices is None or not usage.model_calls:
            return usage
        price = self._prices.price_of(self._name)
        return usage if price is None else usage.model_copy(update={"cost_usd": price.cost_usd(usage)})

    async def settle(self, grant: Grant, usage: Usage) -> None:
        """Say what the request took, also when whoever asked is cancelled meanwhile: it has to be paid for all the same."""
        task = asyncio.ensure_future(grant.settle(usage))
        self._settling.add(task)  # the loop alone would not keep it
        task.add_done_callback(self._settling.discard)
        await asyncio.shield(task)


def most_tokens(ask: Ask) -> int:
    """More tokens than are read: half the ASCII characters, of which usual text needs a quarter, and every byte of the others."""
    texts = [ask.instructions, *data_texts(ask), json.dumps(ask.shape.schema), ask.begun]
    texts += [one for turn in ask.turns for one in (turn.reply, turn.objection)]
    texts += [f"{tool.name}{tool.description}{json.dumps(dict(tool.schema))}" for tool in ask.tools]
    for one in ask.rounds:
        texts.append(one.text)
        texts += [f"{call.name}{json.dumps(call.arguments)}" for call in one.calls]
        texts += [outcome.text for outcome in one.outcomes]
    return sum(_most(text) + _A_MESSAGE for text in texts)


def _most(text: str) -> int:
    if text.isascii():
        return len(text) // 2 + 1
    others = len(text.encode(errors="replace").translate(None, delete=bytes(range(128))))
    ascii_ = sum(character < "\x80" for character in text)
    return ascii_ // 2 + 1 + others
