"""dollars and prices: nothing that costs something looks like nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.cli.dollars import dollars
from stretto.cli.price_view import price_cells, price_text
from stretto.shared.money.price import Price, Tier


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0, "$0"),
        (1e-12, "<$0.000000001"),
        (0.0000042, "$0.0000042"),
        (0.0312, "$0.031"),
        (0.5, "$0.50"),
        (1234.567, "$1,234.57"),
    ],
)
def test_amounts_have_two_digits_that_count(usd: float, text: str) -> None:
    assert dollars(usd) == text


@given(st.floats(min_value=1e-9, max_value=1e6))
def test_no_amount_looks_like_nothing(usd: float) -> None:
    assert re.search("[1-9]", dollars(usd))
    assert float(dollars(usd).lstrip("$").replace(",", "")) == pytest.approx(usd, rel=0.06)


def test_prices_are_shown_with_all_their_digits() -> None:
    price = Price(
        input=0.125,
        output=10.0,
        cached_input=0.0125,
        request=0.014,
        tiers=(Tier(above=200_000, input=1.5, output=20.0),),
    )
    assert price_cells(price) == (
        "$0.125",
        "$0.0125",
        "$10.00",
        "$0.014 for each request; above 200,000 tokens $1.50 and $20.00",
    )
    assert price_text(price) == "$0.125 / $10.00"
    assert price_text(None) == price_cells(None)[0] == "unknown"
