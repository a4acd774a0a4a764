"""Steps: what a journaled step costs beside a conditional append of as many bytes by hand over nats-py. `python -m benchmarks.steps`."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgpack
import nats
import uvloop
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from pydantic import BaseModel

from stretto.agents import Agent, TaskContext
from stretto.agents.worker import Worker
from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.envelope import Envelope
from stretto.bus.provisioning import provision
from stretto.bus.server import EmbeddedServer, ServerOptions
from stretto.bus.streams import Deployment, deployment_streams
from stretto.bus.subjects import RunKey, Subjects, TaskKey
from stretto.bus.task_queue import TaskQueue
from stretto.bus.wire import Wire
from stretto.shared.contracts.task import RunTask
from stretto.shared.memory.client import MemoryClient
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply

__all__: list[str] = []

_STEPS = 200
_ROUNDS = 7
_AT_ONCE = 16
_OUTPUT = "x" * 1_024
_DEPLOYMENT = Deployment(subjects=Subjects("steps"))

Taken = dict[str, list[float]]


class _Nothing(BaseModel):
    pass


class _NoModel:
    """This agent asks no model."""

    name = "none"

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        raise NotImplementedError


class _Measuring(Agent[_Nothing, _Nothing]):
    """Measures its own steps and raw appends, round after round, in an order that alternates."""

    role = "measuring"
    description = "measures its own steps"

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js
        self._appended = 0
        self.taken: Taken = {}
        self.done = asyncio.Event()

    async def handle(self, task: _Nothing, ctx: TaskContext) -> _Nothing:
        async def give() -> str:
            return _OUTPUT

        async def step() -> None:
            await ctx.step("give", None, give)

        systems = (("raw", self._append), ("ours", step))
        for number in range(_ROUNDS):
            for name, work in systems if number % 2 else reversed(systems):
                self.taken.setdefault(f"{name} p50", []).append(await _p50_s(work))
                self.taken.setdefault(f"{name} per s", []).append(await _per_s(work))
        self.done.set()
        return _Nothing()

    async def _append(self) -> None:
        self._appended += 1
        await self._js.publish(
            f"raw.step.{self._appended}",
            msgpack.packb({"output": _OUTPUT}),
            headers={"Nats-Expected-Last-Subject-Sequence": "0"},
        )


async def _p50_s(work: Callable[[], Awaitable[None]]) -> float:
    taken: list[float] = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


async def _per_s(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    for _ in range(_STEPS // _AT_ONCE):
        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return _STEPS // _AT_ONCE * _AT_ONCE / (time.perf_counter() - began)


async def _measure(*, sync_always: bool) -> Taken:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stretto-bench-")))
        options = ServerOptions(data_dir=folder, sync_always=sync_always)
        server = await stack.enter_async_context(EmbeddedServer(options))
        plain = await nats.connect(server.url)
        stack.push_async_callback(plain.close)
        js = plain.jetstream()
        await js.add_stream(StreamConfig(name="RAW", subjects=["raw.step.>"]))
        connection = await stack.enter_async_context(await Connection.open(ConnectionOptions(server.url)))
        for spec in deployment_streams(_DEPLOYMENT):
            await provision(connection, spec)
        wire = Wire(artifacts=Artifacts(connection=connection, subjects=_DEPLOYMENT.subjects))
        key = TaskKey(RunKey.of("default", f"run-{os.getpid()}", _DEPLOYMENT.shards), "measuring", "only", 1)
        task = RunTask(shard=key.run.shard, task=key.task, attempt=1, role=key.role, input={})
        envelope = Envelope.of(task, tenant=key.run.tenant, run=key.run.run, sender="bench")
        await TaskQueue(connection=connection, deployment=_DEPLOYMENT, wire=wire).put(key, envelope)
        agent = _Measuring(js)
        worker = Worker(
            agent=agent,
            connection=connection,
            deployment=_DEPLOYMENT,
            wire=wire,
            model=_NoModel(),
            memory_of=lambda tenant: MemoryClient(
                connection=connection, subjects=_DEPLOYMENT.subjects, wire=wire, tenant=tenant, sender="bench"
            ),
            instance="measuring-1",
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await agent.done.wait()
            worker.stop()
        return agent.taken


def _print(taken: Taken) -> None:
    for what, unit, scale in (("p50", "ms", 1_000.0), ("per s", f"/s, {_AT_ONCE} at once", 1.0)):
        raw, ours = taken[f"raw {what}"], taken[f"ours {what}"]
        ratio = statistics.median(one / other for one, other in zip(ours, raw, strict=True))
        print(
            f"| a step, {unit} | {statistics.median(raw) * scale:.4g} | {statistics.median(ours) * scale:.4g} | {ratio:.2f} |"
        )


if __name__ == "__main__":
    for name, always in (("always", True), ("default", False)):
        print(f"\n| `sync_interval: {name}` | raw | ours | ratio |\n|---|---|---|---|")
        _print(uvloop.run(_measure(sync_always=always)))
