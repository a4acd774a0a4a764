"""price_view: what a model costs, as a person reads it."""

from stretto.cli.dollars import dollars
from stretto.shared.money.price import Price

__all__ = ["PRICE_COLUMNS", "price_cells", "price_text"]

PRICE_COLUMNS = ("input", "cached", "output", "besides")
"""In US dollars per million tokens, but for what is said in words."""


def price_cells(price: Price | None) -> tuple[str, str, str, str]:
    """The cells below `PRICE_COLUMNS`."""
    if price is None:
        return "unknown", "", "unknown", ""
    cached = price.input if price.cached_input is None else price.cached_input
    besides = [
        *([f"{dollars(price.request)} for each request"] if price.request else []),
        *([f"thoughts {dollars(price.reasoning)}"] if price.reasoning is not None else []),
        *(f"above {tier.above:,} tokens {dollars(tier.input)} and {dollars(tier.output)}" for tier in price.tiers),
    ]
    return dollars(price.input), dollars(cached), dollars(price.output), "; ".join(besides)


def price_text(price: Price | None) -> str:
    """Input and output, per million tokens: `$3.00 / $15.00`."""
    return "unknown" if price is None else f"{dollars(price.input)} / {dollars(price.output)}"
