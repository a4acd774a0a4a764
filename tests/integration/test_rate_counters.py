"""RateLimits with the server's counters: what several connections send together stays within the limit."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.errors import BusError
from stretto.bus.rate import RateCounters
from stretto.bus.subjects import Subjects
from stretto.shared.models.errors import LimitReached
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.rate_limits import RateLimits
from tests.integration.ground import Ground, MortalServer, open_ground

LIMIT = 30
PROVIDERS = {"acme": ProviderSettings(requests_per_minute=LIMIT, tokens_per_minute=10_000)}


async def limits_on(ground: Ground, name: str) -> RateLimits:
    counters = RateCounters(connection=await ground.connect(name), subjects=ground.subjects)
    return RateLimits(providers=PROVIDERS, shared=counters)


async def test_three_connections_at_once_never_exceed_the_limit(nats_url: str, prefix: str) -> None:
    async with open_ground(nats_url, prefix) as ground:
        processes = [await limits_on(ground, f"p{number}") for number in range(3)]
        sent: list[datetime] = []
        began = time.monotonic()

        async def one(limits: RateLimits) -> None:
            try:
                await limits.acquire("acme", tokens=1, limit_s=0.2)
            except LimitReached:
                return
            sent.append(datetime.now(UTC))

        async with asyncio.TaskGroup() as group:
            for limits in processes:
                for _ in range(LIMIT):
                    group.create_task(one(limits))
        took_s = time.monotonic() - began
        # Only where a minute began meanwhile it is not the whole limit: who was refused then may have held room for a moment.
        assert LIMIT - len(processes) < len(sent) <= LIMIT * (1 + took_s / 60)
        counters = RateCounters(connection=ground.connection, subjects=ground.subjects)
        window = int(max(sent).timestamp() // 60)
        counted = await counters.count("acme", window, {"requests": 0})
        assert counted.total["requests"] + counted.before["requests"] == len(sent), "who was refused took it back"


async def test_the_counters_tell_the_servers_time_and_the_window_before(nats_url: str, prefix: str) -> None:
    async with open_ground(nats_url, prefix) as ground:
        counters = RateCounters(connection=ground.connection, subjects=ground.subjects)
        await counters.count("acme", 7, {"requests": 3})
        counted = await counters.count("acme", 8, {"requests": 2, "tokens": 500})
        assert counted.total == {"requests": 2, "tokens": 500}
        assert counted.before == {"requests": 3, "tokens": 0}
        assert abs(counted.at - datetime.now(UTC)) < timedelta(seconds=5)
        assert (await counters.count("acme", 8, {"requests": -2})).total == {"requests": 0}


async def test_without_the_server_each_process_goes_by_what_it_sent(tmp_path: Path) -> None:
    async with MortalServer(tmp_path) as server:
        options = ConnectionOptions(server.url, timeout_s=1.0)
        async with await Connection.open(options) as connection:
            counters = RateCounters(connection=connection, subjects=Subjects("s"), patience_s=0.2)
            with pytest.raises(BusError):  # nobody has made the streams
                await counters.count("acme", 1, {"requests": 1})
            await server.kill()
            limits = RateLimits(providers={"acme": ProviderSettings(requests_per_minute=1)}, shared=counters)
            await limits.acquire("acme", tokens=1, limit_s=0)
            with pytest.raises(LimitReached):
                await limits.acquire("acme", tokens=1, limit_s=0)
