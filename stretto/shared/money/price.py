"""Price: what a model costs, and the arithmetic of it."""

from collections.abc import Sequence
from typing import Annotated, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stretto.shared.contracts.usage import Usage

__all__ = ["FREE", "Price", "Priced", "Prices", "Rates", "Tier"]

_MILLION: Final = 1_000_000

_Usd = Annotated[float, Field(ge=0)]


class Priced(Protocol):
    """What a model costs."""

    def cost_usd(self, usage: Usage) -> float:
        """US dollars for one request."""
        ...


class Prices(Protocol):
    """What models cost."""

    def price_of(self, model: str) -> Priced | None:
        """Of `provider:model`; None where nobody knows."""
        ...


class Rates(BaseModel):
    """US dollars per million tokens.

    Attributes:
        input: of what is read.
        output: of what is written, thoughts included.
        cached_input: of the part of the input that the provider had cached; as `input` without it.
        reasoning: of the part of the output that is thoughts; as `output` without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    input: _Usd
    output: _Usd
    cached_input: _Usd | None = None
    reasoning: _Usd | None = None

    def of_tokens(self, usage: Usage) -> float:
        """US dollars for the tokens of one request."""
        cached = min(usage.cached_input_tokens, usage.input_tokens)
        thoughts = min(usage.reasoning_tokens, usage.output_tokens)
        cached_rate = self.input if self.cached_input is None else self.cached_input
        thoughts_rate = self.output if self.reasoning is None else self.reasoning
        return (
            (usage.input_tokens - cached) * self.input
            + cached * cached_rate
            + (usage.output_tokens - thoughts) * self.output
            + thoughts * thoughts_rate
        ) / _MILLION


class Tier(Rates):
    """The rates of requests whose input is longer.

    Attributes:
        above: they hold for all tokens of a request that has more input tokens than this.
    """

    above: Annotated[int, Field(ge=0)]


class Price(Rates):
    """What one request to a model costs.

    Token counts of `Usage` include what was cached and thought, so each token is charged once: a cached one at the cached rate, a thought
    at that of the output unless thoughts have a rate of their own.

    Not known of a request, so not in its price: writing to a provider's cache (counted as input: 20 % too little at Anthropic, where we ask
    for no caching), discounts of batches and service tiers, a provider's own tools (web searches).

    Attributes:
        request: US dollars for each request, whatever its length.
        tiers: by `above`.
    """

    request: _Usd = 0.0
    tiers: tuple[Tier, ...] = ()

    @field_validator("tiers", mode="after")
    @classmethod
    def _in_order(cls, tiers: Sequence[Tier]) -> tuple[Tier, ...]:
        return tuple(sorted(tiers, key=lambda tier: tier.above))

    def rates(self, input_tokens: int) -> Rates:
        """Those of a request with so many input tokens."""
        found: Rates = self
        for tier in self.tiers:
            if input_tokens > tier.above:
                found = tier
        return found

    def cost_usd(self, usage: Usage) -> float:
        """US dollars for what one request took. Of several requests, add up the costs: which tier holds depends on each one's length."""
        return self.rates(usage.input_tokens).of_tokens(usage) + usage.model_calls * self.request


FREE: Final = Price(input=0.0, output=0.0)
"""Of models that are computed here."""
