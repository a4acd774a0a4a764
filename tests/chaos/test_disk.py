"""A disk that is full: nothing is acknowledged that is not stored, and with space again work goes on."""

import asyncio
import sys

import psutil
import pytest

from tests.chaos.agents import How
from tests.chaos.invariants import check
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import System

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process can be set on Linux only"),
]


async def test_a_disk_that_is_full_for_a_while(system: System, load: Load, reader: Reader, nemesis: Nemesis) -> None:
    runs = await load.submit_many(6, How(call_s=0.3))
    await nemesis.in_a_call(nemesis.one_of("agent"))
    server = psutil.Process(system.servers.first.process.pid)
    server.rlimit(psutil.RLIMIT_FSIZE, (1, psutil.RLIM_INFINITY))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(load.submit_many(6))
        await nemesis.pause(2.0, 4.0)
        # A server that failed to write keeps its stream shut: it is started again, as its operator is told to.
        await nemesis.kill_server()
        runs += await waiting
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)
