"""A thousand runs at once, several processes of each kind, and two of them killed in the middle: every run has one answer."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.bus.client import Client
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.envelope import open_envelope
from stretto.bus.registry import Registry
from stretto.bus.server import EmbeddedServer, ServerOptions
from stretto.bus.streams import Deployment
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.request import Request

RUNS = 1_000
KILL_AFTER = 150
ROLES = ("researcher", "writer", "reviewer")


class Fleet:
    """Real processes of the `stretto` command."""

    def __init__(self, url: str, logs: Path) -> None:
        self._environment = os.environ | {
            "STRETTO_NATS_URL": url,
            "STRETTO_TASK_LEASE_S": "5",
            "STRETTO_RUN_LEASE_S": "5",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self._logs = logs
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str) -> None:
        with (self._logs / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "stretto", *command], env=self._environment, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(timeout=30)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def fleets() -> Iterator[list[Fleet]]:
    started: list[Fleet] = []
    yield started
    for fleet in started:
        fleet.stop()


async def test_every_run_has_one_answer_whoever_is_killed(tmp_path: Path, logs: Path, fleets: list[Fleet]) -> None:
    async with EmbeddedServer(ServerOptions(data_dir=tmp_path / "data")) as server:
        fleet = Fleet(server.url, logs)
        fleets.append(fleet)
        for number in (1, 2, 3):
            fleet.start(f"supervisor-{number}", "supervisor", "run")
        for role in ROLES:
            for number in (1, 2):
                fleet.start(
                    f"{role}-{number}", "agent", "run", f"tests.acceptance.quick_agents:Quick{role.capitalize()}"
                )
        async with await Connection.open(ConnectionOptions(server.url)) as connection:
            deployment = Deployment()
            client = Client(connection=connection, deployment=deployment)
            async with Registry(connection=connection, subjects=deployment.subjects) as registry:
                assert await registry.wait_for("supervisor", *ROLES, timeout_s=60)
            answers = await _ask_all(client, fleet)
            assert [answer.text.partition(" [")[0] for answer in answers] == [f"question {n}" for n in range(RUNS)]
            assert {answer.state for answer in answers} == {"completed"}
            await _each_log_is_whole(client)
        fleet.stop()
        fleets.clear()


async def _ask_all(client: Client, fleet: Fleet) -> list[Answer]:
    done = 0

    async def ask(number: int) -> Answer:
        nonlocal done
        run = await client.submit(Request(text=f"question {number}", playbook="brief"), run=f"run-{number}")
        answer = open_envelope(await client.result(run, timeout_s=240), Answer)
        done += 1
        if done == KILL_AFTER:
            fleet.kill("supervisor-1")
            fleet.kill("writer-1")
        return answer

    return await asyncio.gather(*(ask(number) for number in range(RUNS)))


async def _each_log_is_whole(client: Client) -> None:
    for number in range(RUNS):
        subjects = Counter(
            ".".join((fact.subject.kind, *fact.subject.tail)) for fact in await client.log(f"run-{number}")
        )
        assert max(subjects.values()) == 1, "each subject below a run was written once"
        assert subjects["answer"] == 1
        assert sum(subject.startswith("result.") for subject in subjects) == 4
