"""Open runs: what stands for them while something is under way, and that nothing does while they wait for people."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.request import Request
from stretto.supervisor.decide import Limits
from tests.integration.ground import MortalServer
from tests.integration.world import LIMIT_S, Given, Made, World, agent_of, eventually, open_world

ONE = """
roles: {work: works}
tasks:
  - {id: only, role: work}
answer: only
"""
TWO = """
roles: {work: works}
tasks:
  - {id: left, role: work}
  - {id: right, role: work}
  - {id: both, role: work, inputs: {parts: [left, right]}}
answer: both
"""


@pytest.fixture
def deployment(prefix: str) -> Deployment:
    return Deployment(subjects=Subjects(prefix), shards=1, run_lease_s=1.0, pin_s=1.0, task_lease_s=2.0)


@pytest.fixture
async def world(nats_url: str, deployment: Deployment, tmp_path: Path) -> AsyncGenerator[World]:
    async with open_world(nats_url, deployment, tmp_path) as world:
        world.playbook("one", ONE)
        world.playbook("two", TWO)
        yield world


class Asking:
    """A handler that asks, does something, and asks again. It counts what it does between."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    async def __call__(self, task: Given, ctx: TaskContext) -> BaseModel:
        if (task.model_extra or {}).get("parts"):
            return Made(text=" and ".join(part["text"] for part in (task.model_extra or {})["parts"]))

        async def work() -> str:
            self.done[ctx.key.task] += 1
            return "worked"

        first = await ctx.ask_human(f"How, {ctx.key.task}?")
        await ctx.step("work", None, work)
        second = await ctx.ask_human(f"Publish {ctx.key.task}?", kind="approval")
        return Made(text=f"{first.text} {second.outcome}")


async def holds(world: World, count: int) -> None:
    """Wait until so many messages of the one shard are unacknowledged: an answer is there before its run's lease is given up."""

    async def as_many() -> bool:
        return await world.unacknowledged() == count

    await eventually(as_many)


async def test_few_states_are_kept_and_the_leases_of_all_runs_are_renewed(world: World) -> None:
    entered, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def wait(task: Given, ctx: TaskContext) -> BaseModel:
        entered.release()
        await go_on.wait()
        return Made(text=task.request)

    await world.supervise("s1", kept_states=2)
    await world.serve(agent_of("work", wait), "w1")
    runs = [await world.client.submit(Request(text=f"n{n}", playbook="one")) for n in range(10)]
    async with asyncio.timeout(LIMIT_S):
        for _ in runs:
            await entered.acquire()
    supervisor = world.supervisors["s1"]
    assert supervisor.open_runs == 10
    assert supervisor.kept_states <= 2
    # Longer than a lease: it ends by the server's clock.
    assert (await world.ask("late", playbook="one", deadline_s=2.5)).state == "failed"
    await holds(world, 10)
    assert supervisor.kept_states <= 2
    info = await world.connection.jetstream.api(f"CONSUMER.INFO.{world.subjects.runs_stream(0)}.supervisors")
    assert info["num_redelivered"] == 0
    go_on.set()
    assert [(await world.answer(run)).text for run in runs] == [f"n{n}" for n in range(10)]
    assert supervisor.open_runs == 0


async def test_a_run_that_waits_for_people_is_held_by_nobody_until_they_decide(world: World) -> None:
    asking = Asking()
    await world.supervise("s1")
    await world.serve(agent_of("work", asking), "w1")
    run = await world.client.submit(Request(text="it", playbook="two"))
    left, right = sorted(await world.asked(run, 2), key=lambda one: one.task)
    await world.parked()
    assert world.supervisors["s1"].open_runs == 0
    assert world.supervisors["s1"].kept_states == 0
    await world.settle(run, left, "answer", "so")
    await world.settle(run, right, "answer", "thus")
    asked = await world.asked(run, 4)
    await world.parked()
    for question in asked[2:]:
        await world.settle(run, question, "approve")
    assert (await world.answer(run)).text == "so approved and thus approved"
    assert asking.done == {"left": 1, "right": 1}


async def test_what_wakes_a_run_is_its_lease(world: World) -> None:
    """The supervisor that was woken dies without a word; the command comes to the next one."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def ask_and_wait(task: Given, ctx: TaskContext) -> BaseModel:
        answer = await ctx.ask_human("Shall I?")
        entered.set()
        await go_on.wait()
        return Made(text=answer.text)

    first = await world.supervise("s1")
    await world.serve(agent_of("work", ask_and_wait), "w1")
    run = await world.client.submit(Request(text="it", playbook="one"))
    (question,) = await world.asked(run)
    await world.parked()
    await world.settle(run, question, "answer", "yes")
    async with asyncio.timeout(LIMIT_S):
        await entered.wait()
    await holds(world, 1)
    first.cancel()
    await world.supervise("s2")
    go_on.set()
    assert (await world.answer(run)).text == "yes"
    await world.parked()


async def test_a_question_that_nobody_decides_expires_while_no_supervisor_remembers_it(world: World) -> None:
    async def ask(task: Given, ctx: TaskContext) -> BaseModel:
        await ctx.ask_human("Anybody?", expires_in_s=1.5)
        return Made(text="never")

    await world.supervise("s1")
    await world.serve(agent_of("work", ask), "w1")
    run = await world.client.submit(Request(text="it", playbook="one"))
    await world.asked(run)
    await world.parked()
    answer = await world.answer(run)
    assert answer.state == "failed"
    assert "expire" in answer.reason.lower() or "nobody" in answer.reason.lower()


async def test_a_parked_run_outlives_a_restart_of_everything(prefix: str, tmp_path: Path) -> None:
    deployment = Deployment(subjects=Subjects(prefix), shards=1, run_lease_s=1.0, pin_s=1.0, task_lease_s=2.0)
    (tmp_path / "playbooks").mkdir()
    asking = Asking()
    async with MortalServer(tmp_path / "data") as server:
        async with open_world(server.url, deployment, tmp_path / "playbooks") as world:
            world.playbook("one", ONE)
            await world.supervise("s1")
            await world.serve(agent_of("work", asking), "w1")
            run = await world.client.submit(Request(text="it", playbook="one"))
            (how,) = await world.asked(run)
            await world.parked()
        await server.kill()
        await server.restart()
        async with open_world(server.url, deployment, tmp_path / "playbooks") as world:
            await world.supervise("s2")
            await world.serve(agent_of("work", asking), "w2")
            await world.settle(run, how, "answer", "so")
            _, publish = await world.asked(run, 2)
            await world.settle(run, publish, "approve")
            assert (await world.answer(run)).text == "so approved"
    assert asking.done == {"only": 1}


async def test_the_limit_of_the_deployment_does_not_run_while_people_are_waited_for(
    nats_url: str, deployment: Deployment, tmp_path: Path
) -> None:
    asking = Asking()
    async with open_world(nats_url, deployment, tmp_path, limits=Limits(run_deadline_s=3.0)) as world:
        world.playbook("one", ONE)
        await world.supervise("s1")
        await world.serve(agent_of("work", asking), "w1")
        run = await world.client.submit(Request(text="it", playbook="one"))
        (how,) = await world.asked(run)
        await world.parked()
        late = await world.ask("it", playbook="one", deadline_s=4)  # its own limit runs whatever it waits for
        assert late.state == "failed"
        assert "4 s" in late.reason
        await world.settle(run, how, "answer", "so")
        _, publish = await world.asked(run, 2)
        await world.settle(run, publish, "approve")
        assert (await world.answer(run)).text == "so approved"
