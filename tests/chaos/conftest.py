"""What every row begins with: a seed that is printed, a system in a folder of its own, a requester and a reader that no fault touches."""

import os
import random
import re
import zlib
from collections.abc import AsyncGenerator, Iterator

import pytest

from stretto.bus.connection import Connection
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import System

SEED = "STRETTO_CHAOS_SEED"


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault(SEED, str(random.randrange(2**32)))  # noqa: S311 (nothing secret)


def pytest_report_header(config: pytest.Config) -> str:
    return f"chaos: {SEED}={os.environ[SEED]} chooses the same faults and moments again"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """The row's own choices: the same for the same seed, whichever other rows are run."""
    print(f"{SEED}={os.environ[SEED]}")  # noqa: T201 (shown with a failure)
    return random.Random(f"{os.environ[SEED]} {request.node.nodeid}")  # noqa: S311 (nothing secret)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One server, two supervisors and two agents, for the rows of one file."""
    system = System(tmp_path_factory.mktemp("system"))
    try:
        system.servers.start()
        system.start_all()
        yield system
    finally:
        system.stop()


@pytest.fixture
async def connection(system: System) -> AsyncGenerator[Connection]:
    """The test's own, straight to the servers; everybody is there by then."""
    system.revive()
    await system.servers.ready()
    await system.ready()
    async with await system.connect() as connection:
        yield connection


@pytest.fixture
async def reader(system: System, connection: Connection) -> Reader:
    return Reader(connection, system.deployment)


@pytest.fixture
def nemesis(system: System, rng: random.Random) -> Nemesis:
    return Nemesis(system, rng)


@pytest.fixture
def load(system: System, connection: Connection, request: pytest.FixtureRequest) -> Load:
    """A requester whose runs bear the row's name; its number keeps those of rows of one name apart."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    return Load(system, connection, f"{name[:40].strip('-')}-{zlib.crc32(name.encode()) % 10_000}")
