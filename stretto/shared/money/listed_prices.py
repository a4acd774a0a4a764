"""ListedPrices: the public prices of providers, from the data that come with genai-prices."""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import genai_prices.data_snapshot as genai_data
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

from stretto.shared.money.price import Price, Tier

__all__ = ["ListedPrices"]

_Amount = Decimal | TieredPrices | None

_RATES: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "reasoning": "output_reasoning_mtok",
}
_PER_REQUEST: Final = "requests_kcount"


class ListedPrices:
    """Finds a model as genai-prices does, and keeps its price in our form: the same numbers without 0.2 ms of work for each request."""

    def __init__(self) -> None:
        self._data = genai_data.get_snapshot()
        self._models: dict[tuple[str, str, str | None], ModelInfo | None] = {}
        self._read: dict[int, Price | None] = {}

    def find(self, provider: str, model: str, *, base_url: str | None, at: datetime) -> Price | None:
        """The price that holds at `at`; None where the data have none for text.

        Whose prices hold, the address of the server says; where that is nobody's (a gateway), or there is none, the provider's name.
        """
        key = provider, model, base_url
        if key not in self._models:
            self._models[key] = self._model(provider, model, base_url)
        found = self._models[key]
        if found is None:
            return None
        prices = found.get_prices(at)
        if id(prices) not in self._read:  # the data stay as they are, and so do their identities
            self._read[id(prices)] = _price(prices)
        return self._read[id(prices)]

    def window_of(self, provider: str, model: str, *, base_url: str | None) -> int | None:
        """The tokens that the model takes, reply included; None where the data do not say."""
        whose = self._whose(provider, base_url)
        found = whose.find_model(model, all_providers=self._data.providers) if whose else None
        return found.context_window if found else None

    def _model(self, provider: str, model: str, base_url: str | None) -> ModelInfo | None:
        whose = self._whose(provider, base_url)
        found = whose.find_model(model, all_providers=self._data.providers) if whose else None
        return found if found and found.prices else None

    def _whose(self, provider: str, base_url: str | None) -> Provider | None:
        if base_url is not None:
            with contextlib.suppress(LookupError):
                return self._data.find_provider(None, None, base_url)
        return next((one for one in self._data.providers if one.id == provider), None)


def _price(listed: ModelPrice) -> Price | None:
    amounts: dict[str, _Amount] = {name: getattr(listed, key) for name, key in _RATES.items()}
    if amounts["input"] is None or amounts["output"] is None:
        return None  # it is sold by other units than tokens, or is no model that writes
    starts = sorted({tier.start for one in amounts.values() if isinstance(one, TieredPrices) for tier in one.tiers})
    request = _at(getattr(listed, _PER_REQUEST), 0)
    return Price.model_validate(
        {
            **_rates(amounts, 0),
            "request": (request or 0.0) / 1_000,
            "tiers": tuple(Tier.model_validate({**_rates(amounts, start + 1), "above": start}) for start in starts),
        }
    )


def _rates(amounts: dict[str, _Amount], input_tokens: int) -> dict[str, float | None]:
    return {name: _at(one, input_tokens) for name, one in amounts.items()}


def _at(amount: _Amount, input_tokens: int) -> float | None:
    if not isinstance(amount, TieredPrices):
        return None if amount is None else float(amount)
    passed: Sequence[Decimal] = [tier.price for tier in amount.tiers if input_tokens > tier.start]
    return float(passed[-1] if passed else amount.base)
