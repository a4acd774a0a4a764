"""wording: amounts as people read them."""

from collections.abc import Mapping
from typing import Final

from stretto.shared.contracts.account import NANOS

__all__ = ["amount_text", "usd_text"]

_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "tokens": ("token", "tokens"),
    "model_calls": ("model call", "model calls"),
    "tool_calls": ("tool call", "tool calls"),
}


def amount_text(unit: str, amount: int) -> str:
    """An amount with its unit: `0.0312 USD`, `3 model calls`."""
    if unit == "nanos":
        return usd_text(amount)
    one, more = _NAMES[unit]
    return f"{amount} {one if amount == 1 else more}"


def usd_text(nanos: int) -> str:
    """US dollars, exactly, with two decimals at least."""
    whole, rest = divmod(nanos, NANOS)
    decimals = f"{rest:09d}".rstrip("0")
    return f"{whole}.{decimals:0<2} USD"
