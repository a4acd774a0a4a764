"""What replay is for: a run goes on when the message that it waits for is put back, after what was wrong has been mended."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.dead_letter_office import DeadLetterOffice, KeptLetter, LetterFilter
from stretto.bus.dead_letter_replay import DeadLetterReplay
from stretto.bus.dead_letters import DeadLetters
from stretto.bus.delivery import Delivery, Disposition
from stretto.bus.errors import DecodeError
from stretto.bus.settlements import Settlements
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.bus.task_queue import TaskQueue
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult
from tests.integration.ground import LIMIT_S
from tests.integration.ground_check import settled_ground
from tests.integration.world import Given, Made, World, agent_of, open_world

ROLE = "echo"
PLAYBOOK = f"""
roles:
  {ROLE}: Says it again.
tasks:
  - id: say
    role: {ROLE}
    inputs: {{request: request}}
answer: say
"""


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    async with open_world(nats_url, Deployment(subjects=Subjects(prefix), shards=1), tmp_path) as world:
        world.playbook("one", PLAYBOOK)
        await world.supervise("s1")
        yield world


async def echo(task: Given, ctx: TaskContext) -> BaseModel:
    return Made(text=task.request)


class Outdated:
    """An agent from before an upgrade: it cannot read the tasks that newer supervisors queue."""

    def __init__(self, world: World) -> None:
        self.gave_up = asyncio.Event()
        self._dead = DeadLetters(
            connection=world.connection, subjects=world.subjects, wire=world.wire, sender="outdated"
        )
        queue = TaskQueue(connection=world.connection, deployment=world.deployment, wire=world.wire)
        self._queue, self.consumer = queue, queue.consumer(ROLE, slots=1)

    async def run(self) -> None:
        await self._queue.provision(ROLE)
        await self.consumer.run(self._handle)

    async def _handle(self, delivery: Delivery) -> Disposition:
        disposition = await self._dead.bury(delivery, "task has version 2.0", error=DecodeError())
        self.gave_up.set()
        return disposition


async def test_a_run_goes_on_when_its_task_is_put_back(world: World) -> None:
    outdated = Outdated(world)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(outdated.run())
        run = await world.client.submit(Request(text="again", playbook="one"))
        async with asyncio.timeout(LIMIT_S):
            await outdated.gave_up.wait()
        outdated.consumer.stop()
        await serving
    settlements = Settlements(connection=world.connection, subjects=world.subjects, wire=world.wire, principal="ann")
    office = DeadLetterOffice(
        connection=world.connection, subjects=world.subjects, wire=world.wire, settlements=settlements
    )
    kept: list[KeptLetter] = await office.newest(LetterFilter(source=f"task.{ROLE}"), limit=10)
    assert [(one.letter.kind, one.tenant) for one in kept] == [("undecodable", "default")]

    await world.serve(agent_of(ROLE, echo), "mended")
    replay = DeadLetterReplay(
        connection=world.connection,
        deployment=world.deployment,
        wire=world.wire,
        settlements=settlements,
        result_type=TaskResult,
    )
    await replay.replay(kept[0])
    assert (await world.answer(run)).text == "again"
    accounts = await settled_ground(world.connection, world.deployment)
    assert (accounts.dead, await office.unsettled()) == (1, 0)
