"""`stretto ask` of a system that has too much to do: it waits and asks again, or says when to."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from stretto.agents.context import TaskContext
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.request import Request
from tests.acceptance.command import Ran, Stretto
from tests.integration.world import Given, Made, World, agent_of, open_world

ONE_STEP = """
roles: {work: works}
tasks:
  - {id: only, role: work}
answer: only
"""


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    """A supervisor that takes one run at a time, and an agent that works on the request `stay` for ever."""
    deployment = Deployment(subjects=Subjects(prefix), shards=1, run_limit=1)

    async def work(task: Given, ctx: TaskContext) -> Made:
        if task.request == "stay":
            await asyncio.Event().wait()
        return Made(text="done")

    async with open_world(nats_url, deployment, tmp_path) as world:
        world.playbook("brief", ONE_STEP)
        await world.supervise("s1")
        await world.serve(agent_of("work", work), "w1")
        yield world


@pytest.fixture
def user(nats_url: str, prefix: str, tmp_path: Path) -> Stretto:
    return Stretto(tmp_path).with_variables(nats_url=nats_url, prefix=prefix, shards="1")


async def ask(user: Stretto, *words: str) -> Ran:
    return await asyncio.to_thread(user.run, "ask", "why?", "--playbook", "brief", "--json", *words)


async def fill(world: World) -> str:
    """Have the one run that there is room for begin, and stay."""
    run = await world.client.submit(Request(text="stay", playbook="brief"))
    async for event in world.client.events(run):
        if event.envelope.type == "decision":
            return run
    raise AssertionError("it ended")


async def test_who_has_no_time_to_wait_is_told_when_to_come_back(world: World, user: Stretto) -> None:
    await fill(world)
    for words in (("--timeout", "2"), ("--run-id", "mine")):
        ran = await ask(user, *words)
        assert (ran.code, ran.data["error"]["kind"]) == (3, "Busy")
        assert "busy: try again in 5 s (too many runs are open)" in ran.data["error"]["message"]


async def test_who_has_time_is_served_when_there_is_room(world: World, user: Stretto) -> None:
    run = await fill(world)
    with user.start("ask", "why?", "--playbook", "brief", "--json") as asking:
        await asyncio.to_thread(asking.wait_for, "waiting 5 s: busy")
        await world.client.command(run, Command(verb="cancel"))
        ran = await asyncio.to_thread(asking.end)

    assert (ran.code, ran.data["text"]) == (0, "done")
