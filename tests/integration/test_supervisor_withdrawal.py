"""Runs that end while work is out: agents are stopped, queues emptied, and what was spent is told."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.envelope import Envelope
from stretto.bus.run_log import RunLog
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from tests.integration.world import LIMIT_S, Given, Made, World, agent_of, eventually, open_world

FOUR = """
roles: {work: works, other: does else}
tasks:
  - {id: t1, role: work}
  - {id: t2, role: work}
  - {id: t3, role: work}
  - {id: t4, role: other}
  - {id: all, role: other, inputs: {parts: [t1, t2, t3, t4]}}
answer: all
"""
COST = Usage(model_calls=1, input_tokens=100, output_tokens=10, cost_usd=0.25)


class CostlyModel:
    name = "costly"

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
        return Reply(output=output_type.model_validate({"text": "thought"}), model=self.name, usage=COST)


class Stoppable:
    """A handler that thinks, then works until it is stopped."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.stopped: list[str] = []

    async def __call__(self, task: Given, ctx: TaskContext) -> BaseModel:
        await ctx.model.generate(Made, instructions="think")
        self.begun.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.stopped.append(ctx.key.task)
            raise
        raise AssertionError


@pytest.fixture
def deployment(prefix: str) -> Deployment:
    # Agents look by themselves every third of a task lease: here they could not see it in time.
    return Deployment(subjects=Subjects(prefix), shards=1, run_lease_s=2.0, pin_s=1.0, task_lease_s=300.0)


@pytest.fixture
async def world(nats_url: str, deployment: Deployment, tmp_path: Path) -> AsyncGenerator[World]:
    async with open_world(nats_url, deployment, tmp_path) as world:
        world.playbook("four", FOUR)
        yield world


async def begin(world: World, handler: Stoppable) -> str:
    """A run with one task in work at each of two agents, and two that wait in a queue."""
    for role in ("work", "other"):
        await world.serve(agent_of(role, handler), f"{role}-1", CostlyModel(), slots=1)
    run = await world.client.submit(Request(text="it", playbook="four"))
    async with asyncio.timeout(LIMIT_S):
        await handler.begun.acquire()
        await handler.begun.acquire()
    assert await world.depth(world.subjects.tasks_stream("work")) == 3
    return run


async def all_is_withdrawn(world: World, handler: Stoppable) -> None:
    async def withdrawn() -> bool:
        queued = [await world.depth(world.subjects.tasks_stream(role)) for role in ("work", "other")]
        return queued == [0, 0] and len(handler.stopped) == 2

    await eventually(withdrawn)


async def test_cancelling_stops_the_agents_empties_the_queues_and_keeps_the_cost(world: World) -> None:
    handler = Stoppable()
    await world.supervise("s1")
    run = await begin(world, handler)
    await world.client.command(run, Command(verb="cancel"))
    answer = await world.answer(run)
    await all_is_withdrawn(world, handler)
    assert answer.state == "cancelled"
    assert answer.usage == COST + COST
    spent = {report.task: report.usage.cost_usd for report in answer.tasks if report.usage.cost_usd}
    assert len(spent) == 2
    assert spent["t4"] == COST.cost_usd
    assert all(set(report.by_model.values()) == {report.usage} for report in answer.tasks if report.task in spent)
    await world.parked()
    assert await world.answer(run) == answer


async def test_work_of_other_runs_goes_on(world: World) -> None:
    handler = Stoppable()
    await world.supervise("s1")
    run = await begin(world, handler)
    await world.client.submit(Request(text="another", playbook="four"))

    async def both_queued() -> bool:
        return await world.depth(world.subjects.tasks_stream("work")) == 6

    await eventually(both_queued)
    await world.client.command(run, Command(verb="cancel"))
    assert (await world.answer(run)).state == "cancelled"
    async with asyncio.timeout(LIMIT_S):  # the agents are free for the other run
        await handler.begun.acquire()
        await handler.begun.acquire()
    assert await world.depth(world.subjects.tasks_stream("work")) == 3


async def test_a_supervisor_that_dies_between_the_answer_and_the_withdrawal_leaves_it_to_the_next(world: World) -> None:
    handler = Stoppable()
    first = await world.supervise("s1")
    run = await begin(world, handler)
    first.cancel()
    key = world.client.key(run)
    # Its last act.
    answer = Answer(state="cancelled", reason="cancelled by local")
    log = RunLog(connection=world.connection, subjects=world.subjects, wire=world.wire)
    await world.client.command(run, Command(verb="cancel"))
    envelope = Envelope.of(answer, tenant=key.tenant, run=run, sender="s1")
    assert await log.write_once(key, world.subjects.answer(key), answer, envelope)
    await world.supervise("s2")
    await all_is_withdrawn(world, handler)
    await world.parked()
    assert await world.answer(run) == answer
