"""price_view: what a model costs, as a person reads it."""

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
        *([f"{_exact(price.request)} for each request"] if price.request else []),
        *([f"thoughts {_exact(price.reasoning)}"] if price.reasoning is not None else []),
        *(f"above {tier.above:,} tokens {_exact(tier.input)} and {_exact(tier.output)}" for tier in price.tiers),
    ]
    return _exact(price.input), _exact(cached), _exact(price.output), "; ".join(besides)


def price_text(price: Price | None) -> str:
    """Input and output, per million tokens: `$3.00 / $15.00`."""
    return "unknown" if price is None else f"{_exact(price.input)} / {_exact(price.output)}"


def _exact(usd: float) -> str:
    """All of its digits, two decimals at least."""
    return f"${usd:.2f}" if round(usd, 2) == usd else f"${usd:.12f}".rstrip("0")
