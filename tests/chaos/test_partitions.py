"""Partitions: everybody but the requester reaches the bus through a proxy that breaks the network in one way or another."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.chaos.agents import How
from tests.chaos.invariants import check
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import LEASE_S, ROOT, System
from tests.faults.proxy import tell

pytestmark = pytest.mark.chaos
RUNS = 6
BACK_S = 30.0


@dataclass(frozen=True, slots=True)
class Network:
    """The proxy, a process of its own."""

    url: str
    control: str

    async def become(self, words: str) -> None:
        assert await tell(self.control, words) == "ok"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, Network]]:
    system = System(tmp_path_factory.mktemp("system"))
    system.servers.start()
    command = [sys.executable, "-m", "tests.faults.proxy", system.servers.url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            network = Network(**json.loads(proxy.stdout.readline()))
            for name in ("supervisor-1", "supervisor-2", "agent-1", "agent-2"):
                system.start(name, url=network.url)
            yield system, network
        finally:
            system.stop()
            proxy.terminate()


@pytest.fixture(scope="module")
def system(broken: tuple[System, Network]) -> System:
    return broken[0]


@pytest.fixture
def network(broken: tuple[System, Network]) -> Network:
    return broken[1]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("both drop", id="black-hole"),
        pytest.param("both stall", id="full-buffers", marks=pytest.mark.slow),
        pytest.param("up drop", id="nothing-goes-out", marks=pytest.mark.slow),
        pytest.param("down drop", id="nothing-comes-in", marks=pytest.mark.slow),
        pytest.param("reset", id="reset", marks=pytest.mark.slow),
        pytest.param("delay 0.3", id="slow", marks=pytest.mark.slow),
    ],
)
async def test_a_broken_network(
    system: System, network: Network, load: Load, reader: Reader, nemesis: Nemesis, fault: str
) -> None:
    runs = await load.submit_many(RUNS, How(call_s=0.3))
    await nemesis.in_a_call(nemesis.one_of("agent"))
    await network.become(fault)
    runs += await load.submit_many(RUNS)
    await nemesis.pause(1.2 * LEASE_S, 2.0 * LEASE_S)
    await network.become("heal")
    await load.answered(runs, limit_s=BACK_S)
    await check(system, reader)


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param("stretto.run.*.result.*", id="result"),
        pytest.param("stretto.run.*.decision", id="decision", marks=pytest.mark.slow),
        pytest.param("stretto.run.*.answer", id="answer", marks=pytest.mark.slow),
        pytest.param("stretto.task.*", id="task", marks=pytest.mark.slow),
        pytest.param("stretto.step.*", id="step", marks=pytest.mark.slow),
    ],
)
async def test_a_lost_acknowledgement_of_the_bus(
    system: System, network: Network, load: Load, reader: Reader, nemesis: Nemesis, subject: str
) -> None:
    await network.become(f"lose {subject} 2")
    runs = await load.submit_many(RUNS)
    await load.answered(runs, limit_s=BACK_S)
    said = json.loads(await tell(network.control, "links"))
    assert said["lost"] >= 2, f"no acknowledgement on {subject} was lost"
    await network.become("heal")
    await check(system, reader)
