"""Price and PriceBook: the same numbers as genai-prices calculates, and the settings' own before them."""

import tomllib
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.money.price import Price, Tier
from stretto.shared.money.price_book import PriceBook

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
BOOK = PriceBook(
    {"acme:big": Price(input=2.0, output=8.0), "acme:*": Price(input=1.0, output=1.0)},
    providers={"acme": ProviderSettings(base_url="http://127.0.0.1:9/v1")},
    now=lambda: AT,
)
LISTED = (
    "anthropic:claude-sonnet-4-5",
    "anthropic:claude-haiku-4-5",
    "openai:gpt-5",
    "openai:gpt-5.4",
    "openai:gpt-4o",
)


@pytest.mark.parametrize("model", LISTED)
@given(tokens=st.tuples(st.integers(0, 900_000), st.integers(0, 900_000), st.integers(0, 200_000), st.integers(0, 90)))
def test_what_a_request_costs_is_what_genai_prices_calculates(model: str, tokens: tuple[int, int, int, int]) -> None:
    fresh, cached, output, thoughts = tokens
    usage = Usage(
        model_calls=1,
        input_tokens=fresh + cached,
        cached_input_tokens=cached,
        output_tokens=output + thoughts,
        reasoning_tokens=thoughts,
    )
    price = BOOK.price_of(model)
    assert price is not None
    provider, _, name = model.partition(":")
    theirs = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=fresh + cached, cache_read_tokens=cached, output_tokens=output + thoughts),
        name,
        provider_id=provider,
        genai_request_timestamp=AT,
    )
    assert Decimal(price.cost_usd(usage)) == pytest.approx(theirs.total_price, rel=Decimal("1e-9"))


def test_the_data_have_a_model_with_tiers_for_this_test() -> None:
    assert any(price.tiers for model in LISTED if (price := BOOK.price_of(model)))


def test_a_tier_holds_for_all_tokens_of_a_request_that_is_longer() -> None:
    price = Price(input=1.0, output=10.0, tiers=(Tier(above=100, input=2.0, output=20.0),))
    assert price.cost_usd(Usage(input_tokens=100, output_tokens=1)) == pytest.approx(110e-6)
    assert price.cost_usd(Usage(input_tokens=101, output_tokens=1)) == pytest.approx(222e-6)


def test_cached_tokens_and_thoughts_are_charged_once() -> None:
    price = Price(input=10.0, output=100.0, cached_input=1.0, reasoning=50.0, request=0.5)
    usage = Usage(model_calls=1, input_tokens=10, cached_input_tokens=4, output_tokens=10, reasoning_tokens=4)
    assert price.cost_usd(usage) == pytest.approx(0.5 + (60 + 4 + 600 + 200) * 1e-6)


def test_own_prices_win_and_of_them_the_nearest() -> None:
    own = PriceBook({"openai:gpt-5": Price(input=0.0, output=0.0)})
    assert own.price_of("openai:gpt-5") == Price(input=0.0, output=0.0)
    assert BOOK.price_of("acme:big") == Price(input=2.0, output=8.0)
    assert BOOK.price_of("acme:small") == Price(input=1.0, output=1.0)


def test_offline_and_scripts_cost_nothing_and_unheard_of_models_have_no_price() -> None:
    book = PriceBook(providers={"local": ProviderSettings(base_url="http://127.0.0.1:8080/v1")})
    for model in ("offline", "scripted:some/file.json"):
        price = book.price_of(model)
        assert price is not None
        assert price.cost_usd(Usage(model_calls=1, input_tokens=10**9, output_tokens=10**9)) == 0
    for model in (
        "local:llama",
        "nobody:gpt-5",
        "openai:unheard-of",
        "openai:",
        "openai",
        "openai:text-embedding-3-small",
    ):
        assert book.price_of(model) is None, model


def test_whose_prices_hold_says_the_address_and_a_gateway_has_those_of_its_name() -> None:
    routed = ProviderSettings(base_url="https://openrouter.ai/api/v1")
    gateway = ProviderSettings(base_url="http://127.0.0.1:4000")
    book = PriceBook(providers={"mine": routed, "anthropic": gateway})
    assert book.price_of("mine:anthropic/claude-sonnet-4.5") is not None
    assert book.price_of("anthropic:claude-sonnet-4-5") == BOOK.price_of("anthropic:claude-sonnet-4-5")


def test_the_line_to_add_is_a_price_once_it_is_filled_in() -> None:
    line = BOOK.line_to_add('local:"odd" model')
    with pytest.raises(tomllib.TOMLDecodeError):  # as it stands it is no price of 0
        tomllib.loads(line)
    assert tomllib.loads(line.replace("?", "0.5")) == {"prices": {'local:"odd" model': {"input": 0.5, "output": 0.5}}}
