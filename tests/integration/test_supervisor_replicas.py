"""Several supervisors: each run has one answer, whoever dies and whoever holds which shard."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.server import EmbeddedServer, ServerOptions
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.request import Request
from tests.integration.test_supervisor_runs import TWO_AND_ONE, collect, compose
from tests.integration.world import Given, World, agent_of, open_world

RUNS = 60
AGENTS = {"c": lambda: agent_of("collect", collect), "w": lambda: agent_of("compose", compose)}


@pytest.fixture
def deployment(prefix: str) -> Deployment:
    return Deployment(subjects=Subjects(prefix), shards=2, run_lease_s=2.0, pin_s=1.0, task_lease_s=2.0)


@pytest.fixture
async def world(nats_url: str, deployment: Deployment, tmp_path: Path) -> AsyncGenerator[World]:
    async with open_world(nats_url, deployment, tmp_path) as world:
        world.playbook("two", TWO_AND_ONE)
        yield world


async def ask_many(world: World) -> None:
    """Submit many runs at once; each has exactly one answer, the right one, and one result an attempt."""
    runs = await asyncio.gather(*(world.client.submit(Request(text=f"n{n}", playbook="two")) for n in range(RUNS)))
    answers = await asyncio.gather(*(world.answer(run) for run in runs))
    assert [answer.text for answer in answers] == [f"left of n{n} and right of n{n}" for n in range(RUNS)]
    for run in runs:
        facts = Counter(fact.subject.kind for fact in await world.client.log(run))
        assert (facts["answer"], facts["decision"], facts["result"]) == (1, 1, 3)


async def until(condition: Callable[[], bool]) -> None:
    """Yield to the loop until `condition` holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)


async def test_three_supervisors_give_every_run_one_answer(world: World) -> None:
    for name in ("s1", "s2", "s3"):
        await world.supervise(name)
    for number in (1, 2):
        await world.serve(agent_of("collect", collect), f"c{number}")
        await world.serve(agent_of("compose", compose), f"w{number}")
    await ask_many(world)


async def test_two_supervisors_that_get_any_message_of_a_shard_stay_right(
    nats_url: str, deployment: Deployment, tmp_path: Path
) -> None:
    async with open_world(nats_url, replace(deployment, pinned=False), tmp_path) as world:
        world.playbook("two", TWO_AND_ONE)
        await world.supervise("s1")
        await world.supervise("s2")
        await world.serve(agent_of("collect", collect), "c1")
        await world.serve(agent_of("compose", compose), "w1")
        await ask_many(world)


async def test_three_supervisors_without_pins_stay_right_while_one_dies_and_messages_come_twice(
    nats_url: str, deployment: Deployment, tmp_path: Path
) -> None:
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def wait(task: Given, ctx: TaskContext) -> BaseModel:
        begun.release()
        await go_on.wait()
        return await collect(task, ctx)

    async with open_world(nats_url, replace(deployment, pinned=False), tmp_path) as world:
        world.playbook("two", TWO_AND_ONE)
        first, *_ = [await world.supervise(f"s{number}") for number in (1, 2, 3)]
        await world.serve(agent_of("collect", wait), "c1", slots=2 * RUNS)
        await world.serve(agent_of("compose", compose), "w1")
        runs = [await world.client.submit(Request(text=f"n{n}", playbook="two")) for n in range(RUNS)]
        async with asyncio.timeout(30):
            for _ in range(RUNS):
                await begun.acquire()
        first.cancel()
        go_on.set()
        waiting = asyncio.gather(*(world.answer(run) for run in runs))
        while not waiting.done():
            await say_again(world, runs)
        assert [answer.text for answer in await waiting] == [f"left of n{n} and right of n{n}" for n in range(RUNS)]
        for run in runs:
            kinds = Counter(fact.subject.kind for fact in await world.client.log(run))
            assert kinds["answer"] == 1
        await world.parked()


async def say_again(world: World, runs: list[str]) -> None:
    """Store every request and result so far once more, as it is: what was captured on its way and is sent again."""
    for run in runs:
        key = world.client.key(run)
        stream = world.deployment.subjects.runs_stream(key.shard)
        log = await world.connection.jetstream.read(stream, f"{world.deployment.subjects.run(key)}.>")
        for stored in {one.subject: one for one in log}.values():
            if world.deployment.subjects.parse_run(stored.subject).kind in {"request", "result"}:
                await world.connection.jetstream.store(stored.subject, stored.data)


async def test_every_process_is_restarted_one_after_the_other_and_nobody_notices(world: World) -> None:
    stopping = asyncio.Event()
    asked: list[str] = []
    answers: list[Answer] = []

    async def keep_asking(name: str) -> None:
        while not stopping.is_set():
            asked.append(text := f"{name}.{len(asked)}")
            answers.append(await world.ask(text, playbook="two"))

    async def renew(old: str, new: str) -> None:
        """Start the successor, then stop the process and wait until it has ended."""
        if old.startswith("s"):
            running[new] = await world.supervise(new)
            world.supervisors[old].stop()
        else:
            running[new] = await world.serve(AGENTS[old[0]](), new)
            world.workers[old].stop()
        async with asyncio.timeout(30):
            await running.pop(old)

    running = {name: await world.supervise(name) for name in ("s1", "s2")}
    for name in ("c1", "c2", "w1", "w2"):
        running[name] = await world.serve(AGENTS[name[0]](), name)
    async with asyncio.TaskGroup() as load:
        for number in range(8):
            load.create_task(keep_asking(f"n{number}"))
        for old in list(running):
            seen = len(answers)
            await renew(old, f"{old}-new")
            await until(lambda seen=seen: len(answers) >= seen + 16)  # type: ignore[misc]  # a default binds it now
        stopping.set()
    assert len(answers) == len(asked) >= 6 * 16
    assert {answer.state for answer in answers} == {"completed"}
    assert sorted(answer.text for answer in answers) == sorted(f"left of {text} and right of {text}" for text in asked)
    assert {task.attempts for answer in answers for task in answer.tasks} == {1}


async def test_supervisors_share_the_shards(world: World) -> None:
    await world.supervise("s1")
    await world.serve(agent_of("collect", collect), "c1")
    await world.serve(agent_of("compose", compose), "w1")
    await ask_many(world)
    assert world.supervisors["s1"].shards_held == 2
    await world.supervise("s2")
    async with asyncio.timeout(30):
        while {s.shards_held for s in world.supervisors.values()} != {1}:
            await world.ask("more", playbook="two")


async def test_when_a_supervisor_dies_another_one_goes_on(world: World) -> None:
    begun = asyncio.Semaphore(0)
    go_on = asyncio.Event()

    async def wait(task: Given, ctx: TaskContext) -> BaseModel:
        begun.release()
        await go_on.wait()
        return await collect(task, ctx)

    first = await world.supervise("s1")
    await world.serve(agent_of("collect", wait), "c1")
    await world.serve(agent_of("compose", compose), "w1")
    runs = [await world.client.submit(Request(text=f"n{n}", playbook="two")) for n in range(8)]
    async with asyncio.timeout(30):
        for _ in range(2 * len(runs)):
            await begun.acquire()
    await world.supervise("s2")
    first.cancel()
    go_on.set()
    answers = await asyncio.gather(*(world.answer(run) for run in runs))
    assert [answer.text for answer in answers] == [f"left of n{n} and right of n{n}" for n in range(8)]


async def test_a_supervisor_that_is_told_to_stop_hands_its_runs_over_at_once(world: World) -> None:
    go_on = asyncio.Event()
    begun = asyncio.Event()

    async def wait(task: Given, ctx: TaskContext) -> BaseModel:
        begun.set()
        await go_on.wait()
        return await collect(task, ctx)

    first = await world.supervise("s1")
    await world.serve(agent_of("collect", wait), "c1")
    await world.serve(agent_of("compose", compose), "w1")
    run = await world.client.submit(Request(text="n", playbook="two"))
    async with asyncio.timeout(30):
        await begun.wait()
    await world.supervise("s2")
    world.supervisors["s1"].stop()
    async with asyncio.timeout(30):
        await first
    go_on.set()
    assert (await world.answer(run)).state == "completed"


async def test_a_server_that_is_killed_and_comes_back_loses_no_run(prefix: str, tmp_path: Path) -> None:
    deployment = Deployment(subjects=Subjects(prefix), shards=2, run_lease_s=2.0, pin_s=1.0, task_lease_s=2.0)
    (tmp_path / "playbooks").mkdir()
    async with EmbeddedServer(ServerOptions(data_dir=tmp_path / "data")) as server:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def wait(task: Given, ctx: TaskContext) -> BaseModel:
            begun.set()
            await go_on.wait()
            return await collect(task, ctx)

        async with open_world(server.url, deployment, tmp_path / "playbooks") as world:
            world.playbook("two", TWO_AND_ONE)
            await world.supervise("s1")
            await world.serve(agent_of("collect", wait), "c1")
            await world.serve(agent_of("compose", compose), "w1")
            run = await world.client.submit(Request(text="n", playbook="two"))
            async with asyncio.timeout(30):
                await begun.wait()
            await server.restart()
            go_on.set()
            assert (await world.answer(run, timeout_s=60)).text == "left of n and right of n"
