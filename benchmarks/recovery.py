"""Recovery: how long work stands still when an agent or a supervisor is killed. `python -m benchmarks.recovery`."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from nats.aio.msg import Msg
from pydantic import BaseModel

from stretto.agents import Agent, TaskContext
from stretto.bus.client import Client
from stretto.bus.codec import decode
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.envelope import open_envelope
from stretto.bus.registry import Registry
from stretto.bus.server import EmbeddedServer, ServerOptions
from stretto.bus.streams import Deployment
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult

__all__ = ["Steady", "measure_agent_s", "measure_supervisor"]

_PLAYBOOKS = Path(__file__).parent / "playbooks"
_ROOT = Path(__file__).parents[1]
_TIMEOUT_S = 180.0
_IN_FLIGHT = 1_000
_WINDOW_S = 10.0
_TASK_LEASE_S = 5.0


class _Task(BaseModel):
    work_s: float = 0.0


class _Done(BaseModel):
    done: bool = True


class Steady(Agent[_Task, _Done]):
    """Works for as long as it is told."""

    role = "steady"
    description = "works for as long as it is told"
    slots = 512

    async def handle(self, task: _Task, ctx: TaskContext) -> _Done:
        await asyncio.sleep(task.work_s)
        return _Done()


@dataclass(frozen=True, slots=True)
class SupervisorFigures:
    """What a supervisor's death costs.

    Attributes:
        next_commit_s: from its death to the next commit in each of its shards, the longest of them.
        before_per_s, during_per_s, after_per_s: answers a second in the ten seconds before its death, in the next ten, and in those behind.
    """

    next_commit_s: float
    before_per_s: float
    during_per_s: float
    after_per_s: float


@dataclass
class _Watch:
    """When each shard had a commit, and by whom; when answers came."""

    commits: list[tuple[float, int, str]] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)

    async def hear(self, msg: Msg) -> None:
        _, _, shard, _, _, kind, *_ = msg.subject.split(".")
        if kind in {"decision", "answer"}:
            now = time.monotonic()
            self.commits.append((now, int(shard), decode(msg.data).sender))
            if kind == "answer":
                self.answers.append(now)

    def answers_per_s(self, since: float, until: float) -> float:
        return sum(since <= at < until for at in self.answers) / (until - since)


async def measure_agent_s() -> float:
    """Seconds from the death of an agent in mid-task until another one begins with the task, with a lease of `_TASK_LEASE_S`."""
    async with AsyncExitStack() as stack:
        url, connection = await _bus(stack, {"supervisor-1": ("supervisor", "run"), "agent-1": _AGENT})
        client = Client(connection=connection, deployment=Deployment())
        run = await client.submit(Request(text="work", playbook="steady", params={"work_s": 1.0}))
        await _began(client, run)
        other = stack.enter_context(_process(url, "agent-2", *_AGENT))
        await _there(connection, {"steady": 2})
        _kill("agent-1")
        died_at = time.time()
        await client.result(run, timeout_s=_TIMEOUT_S)
        results = [one for one in await client.log(run) if one.subject.kind == "result"]
        first = open_envelope(results[0].envelope, TaskResult)
        assert f"-{other.pid}-" in first.agent, "the agent that was killed had done it before"
        return results[0].at.timestamp() - first.seconds - died_at


async def measure_supervisor() -> SupervisorFigures:
    """Kill one of two supervisors with `_IN_FLIGHT` runs in flight."""
    async with AsyncExitStack() as stack:
        commands = {"supervisor-1": ("supervisor", "run"), "supervisor-2": ("supervisor", "run")}
        url, connection = await _bus(stack, {**commands, "agent-1": _AGENT, "agent-2": _AGENT})
        client = Client(connection=connection, deployment=Deployment())
        watch = _Watch()
        await connection.subscribe("stretto.log.>", watch.hear)

        async def keep_on() -> None:
            while True:
                run = await client.submit(Request(text="work", playbook="steady", params={"work_s": 2.0}))
                await client.result(run, timeout_s=_TIMEOUT_S)

        async with asyncio.TaskGroup() as group:
            loading = [group.create_task(keep_on()) for _ in range(_IN_FLIGHT)]
            await asyncio.sleep(2 * _WINDOW_S)
            died = _kill("supervisor-1")
            died_at = time.monotonic()
            stack.enter_context(_process(url, "supervisor-3", *commands["supervisor-1"]))  # as `stretto up` would
            await asyncio.sleep(2 * _WINDOW_S)
            for one in loading:
                one.cancel()
        by_shard = {shard: sender for at, shard, sender in watch.commits if at < died_at}
        its_shards = {shard for shard, sender in by_shard.items() if f"-{died}-" in sender}
        assert its_shards, "the supervisor that was killed had no shard"
        others = [(at, shard) for at, shard, sender in watch.commits if at > died_at and f"-{died}-" not in sender]
        next_commits = [min(at for at, shard in others if shard == one) for one in its_shards]
        return SupervisorFigures(
            next_commit_s=max(next_commits) - died_at,
            before_per_s=watch.answers_per_s(died_at - _WINDOW_S, died_at),
            during_per_s=watch.answers_per_s(died_at, died_at + _WINDOW_S),
            after_per_s=watch.answers_per_s(died_at + _WINDOW_S, died_at + 2 * _WINDOW_S),
        )


_AGENT = ("agent", "run", "benchmarks.recovery:Steady")
_processes: dict[str, subprocess.Popen[bytes]] = {}


async def _bus(stack: AsyncExitStack, commands: dict[str, tuple[str, ...]]) -> tuple[str, Connection]:
    """A server, and these processes on it."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stretto-bench-")))
    server = await stack.enter_async_context(EmbeddedServer(ServerOptions(data_dir=folder)))
    connection = await stack.enter_async_context(await Connection.open(ConnectionOptions(server.url)))
    wanted: dict[str, int] = {}
    for name, command in commands.items():
        stack.enter_context(_process(server.url, name, *command))
        role = "steady" if command is _AGENT else "supervisor"
        wanted[role] = wanted.get(role, 0) + 1
    await _there(connection, wanted)
    return server.url, connection


@contextmanager
def _process(url: str, name: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    variables = {
        "STRETTO_NATS_URL": url,
        "STRETTO_PLAYBOOKS": f'["{_PLAYBOOKS}"]',
        "STRETTO_TASK_LEASE_S": str(_TASK_LEASE_S),
    }
    process = subprocess.Popen([sys.executable, "-m", "stretto", *command], env={**os.environ, **variables}, cwd=_ROOT)
    _processes[name] = process
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _kill(name: str) -> int:
    process = _processes[name]
    process.kill()
    process.wait()
    return process.pid


async def _there(connection: Connection, wanted: dict[str, int]) -> None:
    async with Registry(connection=connection, subjects=Deployment().subjects) as registry:
        async with asyncio.timeout(_TIMEOUT_S):
            while any(len(registry.alive(role)) < count for role, count in wanted.items()):  # noqa: ASYNC110 (another process changes it)
                await asyncio.sleep(0.05)


async def _began(client: Client, run: str) -> None:
    """Wait until an agent says that it works."""
    async for one in client.events(run):
        if one.envelope.type == "progress":
            return


async def _measure() -> None:
    agent_s = await measure_agent_s()
    print(
        f"| kill -9 of an agent, lease {_TASK_LEASE_S:g} s: until another begins, s | {agent_s:.2f} | ≤ {_TASK_LEASE_S + 1:g} |"
    )
    found = await measure_supervisor()
    print(
        f"| kill -9 of a supervisor, {_IN_FLIGHT} runs in flight: until the next commit, s | {found.next_commit_s:.2f} | ≤ 10 |"
    )
    print(
        f"| runs/s before, during, after | {found.before_per_s:.0f}, {found.during_per_s:.0f}, {found.after_per_s:.0f} | |"
    )


if __name__ == "__main__":
    uvloop.run(_measure())
