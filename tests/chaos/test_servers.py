"""Servers that die: everything that was acknowledged is there afterwards, and work goes on."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tests.chaos.agents import How
from tests.chaos.invariants import check, drift
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import System, until

pytestmark = pytest.mark.chaos
QUICK = How(call_s=0.05)


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.slow)])
async def test_killed_under_load(system: System, load: Load, reader: Reader, nemesis: Nemesis, times: int) -> None:
    warm = await load.submit_many(20)
    await load.answered(warm, limit_s=system.heal_s)
    consumers = {(one.stream, one.name) for one in await reader.consumers()}
    before = {name: await system.gauge(name) for name in system.names}
    async with asyncio.TaskGroup() as group:
        loading = group.create_task(load.keep_on(0.2, QUICK))
        for _ in range(times):
            await nemesis.pause(0.3, 1.5)
            await nemesis.kill_server()
        loading.cancel()
    await check(system, reader)
    after = {name: await system.gauge(name) for name in system.names}
    assert drift(before, after) == []
    assert {(one.stream, one.name) for one in await reader.consumers()} == consumers


@pytest.mark.slow
async def test_killed_together_with_everybody_else(
    system: System, load: Load, reader: Reader, nemesis: Nemesis
) -> None:
    await load.submit_many(10, QUICK)
    await nemesis.in_a_call(nemesis.one_of("agent"))
    for name in system.names:
        system.kill(name)
    await nemesis.kill_server()
    system.revive()
    await check(system, reader)


class TestCluster:
    """Three servers that keep every stream three times."""

    @pytest.fixture
    async def system(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[System]:
        system = System(tmp_path_factory.mktemp("cluster"), nodes=3, shards=1)
        try:
            system.servers.start()
            await system.servers.ready()
            system.start_all()
            yield system
        finally:
            await asyncio.to_thread(system.stop)

    @pytest.mark.slow
    async def test_one_of_three_is_killed(self, system: System, load: Load, reader: Reader, nemesis: Nemesis) -> None:
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(load.keep_on(0.3, QUICK))
            for node in system.servers.nodes:  # its leaders are on one of them
                acknowledged = sum(one.acknowledged for one in system.ledger.submitted())
                node.kill()
                await until(
                    lambda: sum(one.acknowledged for one in system.ledger.submitted()) > acknowledged + 3,  # noqa: B023
                    "requests are taken while one is down",
                )
                system.servers.restart(node)
                await system.servers.ready()
            loading.cancel()
        await check(system, reader)
