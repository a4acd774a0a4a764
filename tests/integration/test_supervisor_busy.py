"""Too much at once: requests are turned away with a word on when to come back; what was taken in goes on when there is room."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.errors import TimedOut
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.request import Request
from tests.integration.world import LIMIT_S, Given, Made, World, agent_of, open_world

ONE = """
roles: {work: works}
tasks:
  - {id: only, role: work}
answer: only
"""
LONELY = """
roles: {nobody: is there}
tasks:
  - {id: only, role: nobody}
answer: only
"""
WIDE = """
roles: {work: works, other: does else}
tasks:
  - {id: before, role: other}
""" + "".join(f"  - {{id: t{n}, role: work, inputs: {{before: before}}}}\n" for n in range(10))
WIDE += "  - {id: all, role: work, inputs: {parts: [" + ", ".join(f"t{n}" for n in range(10)) + "]}}\nanswer: all\n"


class Doorkeeper:
    """An agent's handler that lets nobody through until it is opened."""

    def __init__(self) -> None:
        self.door = asyncio.Event()
        self.entered = asyncio.Semaphore(0)

    async def __call__(self, task: Given, ctx: TaskContext) -> BaseModel:
        self.entered.release()
        await self.door.wait()
        return Made(text=f"done {task.request}")


@pytest.fixture
def deployment(prefix: str) -> Deployment:
    return Deployment(subjects=Subjects(prefix), shards=1, run_lease_s=3.0, pin_s=1.5)


async def test_requests_over_the_limit_of_open_runs_are_turned_away(
    nats_url: str, deployment: Deployment, tmp_path: Path
) -> None:
    keeper = Doorkeeper()
    async with open_world(nats_url, replace(deployment, run_limit=3), tmp_path) as world:
        world.playbook("one", ONE)
        await world.supervise("s1")
        await world.serve(agent_of("work", keeper), "w1")
        runs = await asyncio.gather(*(world.client.submit(Request(text=f"n{n}", playbook="one")) for n in range(10)))
        waiting = {asyncio.ensure_future(world.answer(run)) for run in runs}
        turned_away: list[Answer] = []
        async with asyncio.timeout(LIMIT_S):
            while len(turned_away) < 7:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                turned_away += [one.result() for one in done]
        assert {(one.state, one.reason, one.retry_in_s) for one in turned_away} == {
            ("rejected", "busy: try again in 5 s (too many runs are open)", 5.0)
        }
        keeper.door.set()
        assert {(await one).state for one in waiting} == {"completed"}
        assert (await world.ask("later", playbook="one")).state == "completed"


async def test_what_was_taken_in_waits_for_room_in_a_queue_and_new_requests_are_turned_away(
    nats_url: str, deployment: Deployment, tmp_path: Path
) -> None:
    keeper = Doorkeeper()

    async def other(task: Given, ctx: TaskContext) -> BaseModel:
        return Made(text="before")

    async with open_world(nats_url, replace(deployment, queue_limit=4), tmp_path) as world:
        world.playbook("wide", WIDE)
        world.playbook("one", ONE)
        await world.supervise("s1")
        await world.serve(agent_of("other", other), "o1")
        await world.serve(agent_of("work", keeper), "w1")
        wide = await world.client.submit(Request(text="wide", playbook="wide"))
        async with asyncio.timeout(LIMIT_S):
            for _ in range(4):  # as many as the queue takes, the ones in work included
                await keeper.entered.acquire()
        taken_in, answer = await ask_until_busy(world)
        assert answer.reason == "busy: try again in 5 s (the queue of work is full)"
        assert await world.depth(world.subjects.tasks_stream("work")) == 4
        keeper.door.set()
        assert (await world.answer(wide)).text == "done wide"
        assert [(await world.answer(run)).text for run in taken_in] == ["done more"] * len(taken_in)
        assert (await world.ask("later", playbook="one")).state == "completed"


async def test_a_run_whose_only_task_found_no_room_goes_on_when_there_is_some(
    nats_url: str, deployment: Deployment, tmp_path: Path
) -> None:
    """Nothing happens to it meanwhile that would have it looked at."""
    keeper = Doorkeeper()
    async with open_world(nats_url, replace(deployment, queue_limit=4), tmp_path) as world:
        world.playbook("one", ONE)
        world.playbook("lonely", LONELY)
        await world.supervise("s1")
        await world.serve(agent_of("work", keeper), "w1")
        runs = [await world.client.submit(Request(text="more", playbook="one")) for _ in range(4)]
        async with asyncio.timeout(LIMIT_S):
            for _ in runs:
                await keeper.entered.acquire()
        taken_in, _ = await ask_until_busy(world)
        assert taken_in
        # Longer than leases go without a renewal, at which runs are looked at for the first time.
        assert (await world.ask("late", playbook="lonely", deadline_s=3.0)).state == "failed"
        keeper.door.set()
        assert [(await world.answer(run)).text for run in runs + taken_in] == ["done more"] * (4 + len(taken_in))


async def test_a_run_that_was_taken_in_is_not_turned_away_by_the_next_supervisor(
    nats_url: str, deployment: Deployment, tmp_path: Path
) -> None:
    """It may have fewer to look after than there are open."""
    keeper = Doorkeeper()
    async with open_world(nats_url, replace(deployment, run_limit=4), tmp_path) as world:
        world.playbook("one", ONE)
        first = await world.supervise("s1")
        await world.serve(agent_of("work", keeper), "w1")
        runs = [await world.client.submit(Request(text=f"n{n}", playbook="one")) for n in range(4)]
        async with asyncio.timeout(LIMIT_S):
            for _ in runs:
                await keeper.entered.acquire()
        first.cancel()
        world.deployment = replace(world.deployment, run_limit=1)
        await world.supervise("s2")
        keeper.door.set()
        assert [(await world.answer(run)).state for run in runs] == ["completed"] * 4


async def ask_until_busy(world: World) -> tuple[list[str], Answer]:
    """Ask until a request is turned away: the supervisor learns that a queue is full by trying it. Return also which runs were taken in."""
    taken_in: list[str] = []
    async with asyncio.timeout(LIMIT_S):
        while True:
            run = await world.client.submit(Request(text="more", playbook="one"))
            try:
                return taken_in, await world.answer(run, timeout_s=2.0)
            except TimedOut:
                taken_in.append(run)
