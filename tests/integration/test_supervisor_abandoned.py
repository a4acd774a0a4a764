"""Tasks that kill the process that has them: they are given up after so many deliveries, and nothing else suffers."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from stretto.bus.dead_letters import DeadLetter
from stretto.bus.envelope import open_envelope
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects, TaskKey
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult
from tests.integration.deadly_agent import POISON
from tests.integration.world import World, eventually, open_world

PATIENCE_S = 90.0
"""Processes start again and again here, which takes a busy machine seconds."""

ONE = """
roles: {work: works}
tasks:
  - {id: only, role: work}
answer: only
"""


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    deployment = Deployment(subjects=Subjects(prefix), shards=2, task_lease_s=1.0, max_deliver=3)
    async with open_world(nats_url, deployment, tmp_path) as world:
        world.playbook("one", ONE)
        yield world


@contextlib.asynccontextmanager
async def deadly_agents(world: World, count: int) -> AsyncGenerator[None]:
    """So many processes of the role; each is started again whenever it dies."""
    deployment = world.deployment

    async def keep(number: int) -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.integration.deadly_agent",
                world.url,
                deployment.subjects.prefix,
                "work",
                f"w{number}",
                str(deployment.task_lease_s),
                str(deployment.max_deliver),
            )
            try:
                await process.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async with asyncio.TaskGroup() as group:
        keeping = [group.create_task(keep(number)) for number in range(count)]
        yield
        for task in keeping:
            task.cancel()


async def test_a_task_that_kills_its_agent_is_given_up_and_its_neighbours_finish(world: World) -> None:
    await world.supervise("s1")
    await world.supervise("s2")
    async with deadly_agents(world, 2):
        poisoned = await world.client.submit(Request(text=POISON, playbook="one"))
        others = [await world.client.submit(Request(text=f"n{n}", playbook="one")) for n in range(10)]
        for number, run in enumerate(others):
            assert (await world.answer(run, timeout_s=PATIENCE_S)).text == f"n{number} survived"
        answer = await world.answer(poisoned, timeout_s=PATIENCE_S)
        # While there are agents: one that was killed before it could acknowledge has left a task that is done for another to clear away.
        await eventually(lambda: _is_empty(world, world.subjects.tasks_stream("work")))
    assert answer.state == "failed"
    assert "only (work)" in answer.reason
    assert "given up after 3 deliveries" in answer.reason
    key = TaskKey(world.client.key(poisoned), "work", "only", 1)
    results = await world.connection.jetstream.read(
        world.subjects.runs_stream(key.run.shard), world.subjects.result(key)
    )
    assert len(results) == 1
    letters = await world.connection.jetstream.read(world.subjects.stream("DEAD"), world.subjects.any_dead())
    letter = open_envelope(await world.wire.unpack(letters[0].data, letters[0].headers), DeadLetter)
    assert len(letters) == 1
    assert (letter.kind, letter.deliveries, letter.origin) == ("exhausted", 3, world.subjects.task(key))
    result = open_envelope(await world.wire.unpack(results[0].data, results[0].headers), TaskResult)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.error) == ("permanent", "DeliveriesExhausted")
    await eventually(lambda: _is_done(world))


async def _is_empty(world: World, stream: str) -> bool:
    return await world.depth(stream) == 0


async def _is_done(world: World) -> bool:
    """Whether every advisory is acknowledged."""
    stream = world.subjects.stream("ADVISORIES")
    info = await world.connection.jetstream.api(f"CONSUMER.INFO.{stream}.supervisors")
    return (info["num_pending"], info["num_ack_pending"]) == (0, 0)
