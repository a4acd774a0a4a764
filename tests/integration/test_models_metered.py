"""Models of several processes on one bus: together they keep their provider's limits, and each knows what its requests cost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from stretto.bus.rate import RateCounters
from stretto.shared.contracts.findings import Quotes
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import LimitReached
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import Providers
from stretto.shared.models.rate_limits import RateLimits
from stretto.shared.money.price import Price
from stretto.shared.money.price_book import PriceBook
from tests.integration.dialects import DIALECTS
from tests.integration.ground import Ground, open_ground
from tests.integration.provider_server import ProviderServer

CHAT = DIALECTS[1]
LIMIT = 4


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    async with ProviderServer(then=lambda _: CHAT.says(Quotes().model_dump_json())) as server:
        yield server


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncIterator[Ground]:
    async with open_ground(nats_url, prefix) as ground:
        yield ground


async def test_together_they_send_no_more_than_the_provider_gets_in_a_minute(
    server: ProviderServer, ground: Ground
) -> None:
    local = {"local": ProviderSettings(base_url=server.url, requests_per_minute=LIMIT, time_limit_s=5.0)}
    prices = {"local:test": Price(input=2.0, cached_input=1.0, output=10.0)}
    async with AsyncExitStack() as closing:
        models = []
        for number in range(2):
            counters = RateCounters(connection=await ground.connect(f"p{number}"), subjects=ground.subjects)
            rates = RateLimits(providers=local, shared=counters)
            providers = Providers(local, environment={}, prices=PriceBook(prices, providers=local), rates=rates)
            models.append((await closing.enter_async_context(providers)).model("local:test"))

        async def ask(number: int) -> Usage | LimitReached:
            try:
                return (await models[number].generate(Quotes, instructions="Pick.", question="?")).usage
            except LimitReached as error:
                return error

        # One after the other to begin with, so that all of them stand in one line and no refusal is by chance.
        taken = [await ask(number % 2) for number in range(LIMIT)]
        refused = await asyncio.gather(ask(0), ask(1))

    for usage in taken:
        assert isinstance(usage, Usage)
        assert usage.cost_usd == pytest.approx((40 * 2 + 60 * 1 + 20 * 10) / 1_000_000)
    assert len(server.requests) == LIMIT, "what is refused is not sent"
    for error in refused:
        assert isinstance(error, LimitReached)
        assert error.retry_after_s is not None
        assert error.retry_after_s > 5.0
        assert error.usage == Usage()
