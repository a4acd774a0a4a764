"""Dollars: money as a person reads it."""

import math

__all__ = ["dollars"]

_CENTS = 2
_MOST_DECIMALS = 9


def dollars(usd: float) -> str:
    """`$12.34`; of small amounts the first two digits that are not 0, as `$0.0012`, so that nothing looks like nothing."""
    if usd == 0:
        return "$0"
    if usd < 10**-_MOST_DECIMALS:
        return f"<${10**-_MOST_DECIMALS:.{_MOST_DECIMALS}f}"
    decimals = _CENTS if usd >= 0.1 else min(_MOST_DECIMALS, 1 - math.floor(math.log10(usd)))
    return f"${usd:,.{decimals}f}"
