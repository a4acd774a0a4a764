"""Clocks that are off by an hour: deadlines and timers go by the server's, so nobody notices."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.agents import How
from tests.chaos.invariants import check
from tests.chaos.load import Load
from tests.chaos.reader import Reader
from tests.chaos.system import System

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(
        sys.platform != "linux" or shutil.which("cc") is None,
        reason="a process's clock is set by a preloaded library in C",
    ),
]
HOUR_S = 3_600
OFF_S = {"supervisor-1": -HOUR_S, "supervisor-2": HOUR_S, "agent-1": HOUR_S, "agent-2": -HOUR_S}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    library = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    system = System(folder / "system")
    try:
        system.servers.start()
        for name, off_s in OFF_S.items():
            system.start(name, variables={"LD_PRELOAD": str(library), "CHAOS_CLOCK_OFF_S": str(off_s)})
        yield system
    finally:
        system.stop()


async def test_clocks_an_hour_off_change_nothing(system: System, load: Load, reader: Reader) -> None:
    runs = await load.submit_many(8, How(call_s=0.5))
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)


async def test_a_deadline_goes_by_the_servers_clock(system: System, load: Load, reader: Reader) -> None:
    slow = How(call_s=60.0)
    runs = [await load.submit(slow, ends="failed", text=None, playbook="alone", deadline_s=3.0) for _ in range(4)]
    await load.answered(runs, limit_s=10.0)
    await check(system, reader)
