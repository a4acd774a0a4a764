"""A rolling restart: every process is replaced, one after the other, under load, and nobody notices."""

import asyncio

import pytest

from tests.chaos.agents import How
from tests.chaos.invariants import check
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import System

pytestmark = pytest.mark.chaos


async def test_every_process_one_after_the_other(system: System, load: Load, reader: Reader, nemesis: Nemesis) -> None:
    async with asyncio.TaskGroup() as group:
        loading = group.create_task(load.keep_on(0.1, How(call_s=0.05)))
        for name in sorted(system.names):
            nemesis.say(f"replace {name}")
            system.terminate(name)
            assert await system.ended(name) == 0, f"{name} was told to stop"
            system.start(name)
            await system.ready()
        loading.cancel()
    await check(system, reader)
    assert all(call.ended for call in system.ledger.calls()), "a call was cut off"
