"""Startup: how long a person waits for the first answer, and what an idle agent takes."""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.five_tasks import TIMEOUT_S
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.registry import Registry
from stretto.bus.server import EmbeddedServer, ServerOptions
from stretto.bus.subjects import Subjects

__all__ = ["StartFigure", "measure_startup"]

_STRETTO = (sys.executable, "-m", "stretto")
_ROLE = "writer"
_DOCS = Path(__file__).parent.parent / "docs"
_QUESTION = "What happens to an accepted request when a process is killed?"


@dataclass(frozen=True, slots=True)
class StartFigure:
    """One measured thing, and what it should be at most."""

    name: str
    measured: float
    goal: float


async def measure_startup(times: int) -> list[StartFigure]:
    """Measure; each time is the median of `times`."""
    return [
        StartFigure("import stretto, ms", _median_s([sys.executable, "-c", "import stretto"], times) * 1_000, 150),
        StartFigure("stretto --help, ms", _median_s([*_STRETTO, "--help"], times) * 1_000, 400),
        StartFigure("idle agent, MB", await _idle_agent_mb(), 80),
        StartFigure("stretto ask, warm memory, s", _ask_s(times), 6),
    ]


def _median_s(command: Sequence[str], times: int, variables: Mapping[str, str] | None = None) -> float:
    return statistics.median(_run_s(command, variables or {}) for _ in range(times))


def _run_s(command: Sequence[str], variables: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **variables})
    return time.perf_counter() - began


async def _idle_agent_mb() -> float:
    """The memory that stays in RAM of an agent that has announced itself and has nothing to do."""
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as folder:
        async with (
            EmbeddedServer(ServerOptions(data_dir=Path(folder))) as server,
            await Connection.open(ConnectionOptions(server.url)) as connection,
            Registry(connection=connection, subjects=Subjects()) as registry,
        ):
            variables = {**os.environ, "STRETTO_NATS_URL": server.url, "STRETTO_DATA_DIR": folder}
            agent = await asyncio.create_subprocess_exec(*_STRETTO, "agent", "run", _ROLE, env=variables)
            try:
                if not await registry.wait_for(_ROLE, timeout_s=TIMEOUT_S):
                    raise TimeoutError("the agent did not come up")
                return psutil.Process(agent.pid).memory_info().rss / 1e6
            finally:
                agent.terminate()
                await agent.wait()


def _ask_s(times: int) -> float:
    """From nothing running to the answer, when the documents are known already."""
    with tempfile.TemporaryDirectory(prefix="stretto-bench-") as folder:
        command = [*_STRETTO, "ask", "--docs", str(_DOCS), _QUESTION]
        variables = {"STRETTO_DATA_DIR": folder}
        _run_s(command, variables)
        return _median_s(command, times, variables)
