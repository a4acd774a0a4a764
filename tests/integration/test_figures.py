"""The figures of a deployment: what is read of queues, runs and endings, on a real server."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest

from stretto.bus.agent_card import SUPERVISOR_ROLE, AgentCard
from stretto.bus.consume import Consumer, ConsumerOptions
from stretto.bus.dead_letters import DeadLetters
from stretto.bus.delivery import Delivery, Disposition, Hold
from stretto.bus.envelope import Envelope
from stretto.bus.errors import StreamMissing
from stretto.bus.jetstream import Stored
from stretto.bus.provisioning import provision
from stretto.bus.registry import Registry
from stretto.bus.streams import agents_consumer, task_stream
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.answer import Answer, RunEnd, TaskReport
from stretto.shared.contracts.usage import Usage
from stretto.shared.figures import FigureReader, Queue, RoleFigures
from tests.integration.ground import LIMIT_S, Ground, Note, Running, open_ground, wrap


class Roll(Registry):
    """Says who is alive without hearing anybody."""

    def __init__(self, ground: Ground, *cards: AgentCard) -> None:
        super().__init__(connection=ground.connection, subjects=ground.subjects)
        self.cards = list(cards)

    def alive(self, role: str | None = None) -> list[AgentCard]:
        return [card for card in self.cards if role in {None, card.role}]


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix) as ground:
        yield ground


def card(role: str, instance: str, *, slots: int = 0, busy: int = 0) -> AgentCard:
    return AgentCard(role=role, instance=instance, started_at=datetime.now(UTC), slots=slots, busy=busy)


def reader_of(ground: Ground, *cards: AgentCard, lately_s: float | None = 300.0) -> FigureReader:
    return FigureReader(
        connection=ground.connection,
        deployment=ground.deployment,
        wire=ground.wire,
        registry=Roll(ground, *cards),
        lately_s=lately_s,
    )


async def queue_task(ground: Ground, role: str, task: str) -> None:
    key = TaskKey(ground.key(), role, task, 1)
    await ground.queue.put(key, wrap(Note(), key.run))


async def answer(ground: Ground, run: str, state: RunEnd, **fields: object) -> None:
    key = ground.key(run)
    body = Answer.model_validate({"state": state, **fields})
    envelope = Envelope.of(body, tenant=key.tenant, run=key.run, sender="tester")
    await ground.log.append(key, ground.subjects.answer(key), envelope, after=0)


@contextlib.asynccontextmanager
async def held(consumer: Consumer, count: int) -> AsyncGenerator[None]:
    """So many messages are in work within the block."""
    left = count
    all_held, over = asyncio.Event(), asyncio.Event()

    async def hold(_: Delivery) -> Disposition:
        nonlocal left
        left -= 1
        if left == 0:
            all_held.set()
        await over.wait()
        return Hold()

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        running = Running(group, consumer, hold)
        await all_held.wait()
        yield
        over.set()
        await running.stop()


async def test_tells_who_is_alive_and_what_waits_and_for_how_long(ground: Ground) -> None:
    for task in ("t1", "t2", "t3"):
        await queue_task(ground, "scribe", task)
    stream = ground.subjects.tasks_stream("scribe")
    first = await ground.connection.jetstream.get(stream, 1)
    assert first is not None
    cards = (
        card("scribe", "s1", slots=4, busy=1),
        card("scribe", "s2", slots=2, busy=2),
        card(SUPERVISOR_ROLE, "su", busy=1),
    )

    options = ConsumerOptions(stream, agents_consumer(ground.deployment), slots=1)
    async with held(Consumer(connection=ground.connection, options=options), 1):
        figures = await reader_of(ground, *cards).read()

    by_role = {one.role: one for one in figures.roles}
    scribe = by_role["scribe"].queue
    assert scribe is not None
    assert (scribe.waiting, scribe.in_work, scribe.suspects) == (2, 1, 0)
    second = await ground.connection.jetstream.get(stream, 2)
    assert second is not None
    assert figures.at - second.at > timedelta(seconds=scribe.oldest_s - 0.5)
    assert 0 < scribe.oldest_s < (figures.at - first.at).total_seconds() + 0.5
    assert (by_role["scribe"].alive, by_role["scribe"].slots, by_role["scribe"].busy) == (2, 6, 3)
    assert by_role[SUPERVISOR_ROLE] == RoleFigures(SUPERVISOR_ROLE, alive=1, slots=0, busy=1, queue=None)


async def test_tells_of_the_queue_of_a_role_that_nobody_serves(ground: Ground) -> None:
    await provision(ground.connection, task_stream(ground.deployment, "ghost"))

    figures = await reader_of(ground).read()

    (ghost,) = (one for one in figures.roles if one.role == "ghost")
    assert ghost == RoleFigures("ghost", alive=0, slots=0, busy=0, queue=Queue(0, 0, 0, 0.0))


async def test_counts_open_runs_and_takes_those_that_nobody_has_for_parked(ground: Ground) -> None:
    for run in ("r1", "r2", "r3", "r4"):
        await ground.request(run)
    await answer(ground, "r1", "completed")

    unserved = (await reader_of(ground).read()).runs
    assert (unserved.open, unserved.in_flight, unserved.backlog, unserved.parked) == (3, 0, 4, None)

    async with held(ground.pinned(), 4):
        served = (await reader_of(ground, card(SUPERVISOR_ROLE, "su", busy=1)).read()).runs
    assert (served.open, served.in_flight, served.backlog, served.parked) == (3, 1, 0, 2)


async def test_takes_no_run_for_parked_that_a_beat_is_late_to_tell_of(ground: Ground) -> None:
    roll = Roll(ground, card(SUPERVISOR_ROLE, "su", busy=1))
    reader = FigureReader(
        connection=ground.connection, deployment=ground.deployment, wire=ground.wire, registry=roll, lately_s=None
    )
    await ground.request("r1")
    async with held(ground.pinned(), 1):
        assert (await reader.read()).runs.parked == 0
        roll.cards = [card(SUPERVISOR_ROLE, "su", busy=0)]  # it ended, and was counted before
        runs = (await reader.read()).runs
    assert (runs.open, runs.in_flight, runs.parked) == (1, 0, 0)


async def test_adds_up_what_ended_lately_and_takes_in_what_is_new(ground: Ground) -> None:
    reader = reader_of(ground)
    await answer(ground, "r1", "completed", usage=Usage(output_tokens=5, cost_usd=0.5))
    await answer(ground, "r2", "failed", tasks=(TaskReport(task="t", role="scribe", state="failed", attempts=3),))
    await ground.log.append(
        ground.key("r3"), ground.subjects.answer(ground.key("r3")), wrap(Note(), ground.key("r3")), after=0
    )

    lately = (await reader.read()).lately
    assert lately is not None
    assert lately.ended == {"completed": 1, "failed": 1}
    assert (lately.failed_tasks, lately.retries) == (1, 2)

    await answer(ground, "r4", "completed", usage=Usage(output_tokens=7, cost_usd=0.25))
    lately = (await reader.read()).lately
    assert lately is not None
    assert lately.ended == {"completed": 2, "failed": 1}
    assert (lately.usage.output_tokens, lately.usage.cost_usd) == (12, 0.75)
    assert (await reader_of(ground, lately_s=None).read()).lately is None


async def test_counts_the_dead_letters_that_are_not_settled(ground: Ground) -> None:
    reader = reader_of(ground)
    dead = DeadLetters(connection=ground.connection, subjects=ground.subjects, wire=ground.wire, sender="tester")
    stored = Stored(f"{ground.subjects.prefix}.task.x", 1, datetime.now(UTC), b"junk", {})
    await dead.keep(stored, stream=ground.shard, kind="undecodable", reason="junk")

    assert (await reader.read()).dead_letters == 1


async def test_says_that_there_is_no_deployment(nats_url: str, prefix: str, ground: Ground) -> None:
    await ground.connection.jetstream.api(f"STREAM.DELETE.{ground.shard}")

    with pytest.raises(StreamMissing, match="is a supervisor running"):
        await reader_of(ground).read()
