"""Soak: every fault that any system can bear, one after the other, under load, for as long as is asked."""

import asyncio
import os

import pytest

from tests.chaos.agents import How
from tests.chaos.invariants import check, drift
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import System

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
MINUTES = "STRETTO_CHAOS_MINUTES"
ROUND_S = 60.0


async def test_one_fault_after_the_other(system: System, load: Load, reader: Reader, nemesis: Nemesis) -> None:
    for number in range(int(os.environ.get(MINUTES, "1"))):
        nemesis.say(f"minute {number + 1}")
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(load.keep_on(0.2, How(call_s=0.1)))
            await nemesis.wreak(ROUND_S)
            loading.cancel()
        await system.ready()
        await check(system, reader)


async def test_nothing_is_left_of_many_runs(system: System, load: Load, reader: Reader) -> None:
    await load.answered(await load.submit_many(200), limit_s=system.heal_s)
    before = {name: await system.gauge(name) for name in system.names}
    await load.answered(await load.submit_many(400), limit_s=2 * system.heal_s)
    await check(system, reader)
    assert drift(before, {name: await system.gauge(name) for name in system.names}) == []
