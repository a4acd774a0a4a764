"""Taking over: from nothing but the log, however long, and from queues that have lost everything."""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.consume import Consumer, ConsumerOptions
from stretto.bus.delivery import Ack, Delivery, Disposition, Hold
from stretto.bus.envelope import Envelope
from stretto.bus.message import Message
from stretto.bus.provisioning import provision
from stretto.bus.streams import SUPERVISORS, Deployment, deployment_streams
from stretto.bus.subjects import RunKey, Subjects, TaskKey
from stretto.shared.contracts.decision import Decision, PlanMade
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.retry import RetryPolicy
from stretto.shared.contracts.task import TaskFailure, TaskResult
from tests.integration.ground import MortalServer
from tests.integration.world import LIMIT_S, Given, Made, World, agent_of, eventually, open_world

TASKS = 1_000
TRIES = 3
ONE = """
roles: {work: works}
tasks:
  - {id: only, role: work}
answer: only
"""


async def write(world: World, key: RunKey, subject: str, message: Message) -> None:
    envelope = Envelope.of(message, tenant=key.tenant, run=key.run, sender="s0")
    await world.connection.jetstream.store(subject, await world.wire.pack(envelope), expect=0)


def result(task: str, attempt: int) -> TaskResult:
    failure = TaskFailure(kind="retryable", error="Bad", message="no luck") if attempt < TRIES else None
    output = None if failure else {"text": task}
    return TaskResult(task=task, attempt=attempt, role="work", agent="w0", output=output, failure=failure)


async def write_long_run(world: World) -> str:
    """A run of 1,000 tasks, each of which succeeded at its third try, but for the last one: 3,001 commits, all handled by a supervisor that
    is gone. Return its id."""
    for spec in deployment_streams(world.deployment):
        await provision(world.connection, spec)
    names = [f"t{number}" for number in range(TASKS)]
    plan = Plan(
        playbook="long",
        tasks=(
            *(PlannedTask(id=name, role="work") for name in names),
            PlannedTask(id="all", role="sum", inputs={"parts": tuple(names)}),
        ),
        answer="all",
    )
    run = await world.client.submit(Request(text="long"))
    key = world.client.key(run)
    decision = Decision(events=(PlanMade(plan=plan, retries={"work": RetryPolicy(tries=TRIES, delay_s=0)}),))
    await write(world, key, world.subjects.decision(key), decision)
    for attempt in range(1, TRIES + 1):
        done = names if attempt < TRIES else names[:-1]
        for first in range(0, len(done), 100):
            async with asyncio.TaskGroup() as group:
                for name in done[first : first + 100]:
                    subject = world.subjects.result(TaskKey(key, "work", name, attempt))
                    group.create_task(write(world, key, subject, result(name, attempt)))
    await hand_down(world, TRIES * TASKS)
    return run


async def hand_down(world: World, count: int) -> None:
    """Take so many messages, the request first, as a supervisor does that handles them all and dies without a word."""
    seen = 0

    async def handle(delivery: Delivery) -> Disposition:
        nonlocal seen
        seen += 1
        if seen == count:
            consumer.stop()
        return Hold() if ".request." in delivery.subject else Ack()

    options = ConsumerOptions(
        world.subjects.runs_stream(0), SUPERVISORS, 256, group=SUPERVISORS, expires_s=1.0, heartbeat_s=0.5
    )
    consumer = Consumer(connection=await world.connect("s0"), options=options)
    async with asyncio.timeout(LIMIT_S):
        await consumer.run(handle)


async def test_a_run_with_a_thousand_tasks_and_three_thousand_commits_goes_on(
    nats_url: str, prefix: str, tmp_path: Path
) -> None:
    deployment = Deployment(subjects=Subjects(prefix), shards=1, run_lease_s=1.0, pin_s=1.0)

    async def work(task: Given, ctx: TaskContext) -> BaseModel:
        assert (ctx.key.task, ctx.key.attempt) == (f"t{TASKS - 1}", TRIES)
        return Made(text=ctx.key.task)

    async def add_up(task: Given, ctx: TaskContext) -> BaseModel:
        return Made(text=str(len((task.model_extra or {})["parts"])))

    async with open_world(nats_url, deployment, tmp_path) as world:
        run = await write_long_run(world)
        await world.supervise("s1")
        await world.serve(agent_of("work", work), "w1")
        await world.serve(agent_of("sum", add_up), "a1")
        answer = await world.answer(run)
        assert (answer.state, answer.text) == ("completed", str(TASKS)), answer.reason
        assert answer.tasks[0].attempts == TRIES


async def test_what_is_due_is_queued_again_when_another_server_answers_that_lost_the_queue(
    prefix: str, tmp_path: Path
) -> None:
    deployment = Deployment(subjects=Subjects(prefix), shards=1, run_lease_s=2.0, pin_s=1.0)
    (tmp_path / "playbooks").mkdir()

    async def work(task: Given, ctx: TaskContext) -> BaseModel:
        return Made(text=task.request)

    async with (
        MortalServer(tmp_path / "data") as server,
        open_world(server.url, deployment, tmp_path / "playbooks") as world,
    ):
        world.playbook("one", ONE)
        await world.supervise("s1")
        runs = [await world.client.submit(Request(text=f"n{n}", playbook="one")) for n in range(5)]
        stream = world.subjects.tasks_stream("work")

        async def all_queued() -> bool:
            found = await world.connection.jetstream.api(f"STREAM.INFO.{stream}")
            return "state" in found and int(found["state"]["messages"]) == len(runs)

        await eventually(all_queued)
        await server.kill()
        forget(tmp_path / "data", stream)
        await server.restart()
        await world.serve(agent_of("work", work), "w1")
        assert [(await world.answer(run)).text for run in runs] == [f"n{n}" for n in range(5)]


def forget(store: Path, stream: str) -> None:
    """Lose what the server had not written yet. A kill alone does so only now and then."""
    blocks = list(store.rglob(f"{stream}/msgs/*"))
    assert blocks
    for block in blocks:
        block.unlink()
