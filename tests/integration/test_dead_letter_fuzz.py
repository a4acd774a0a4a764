"""Fuzz: whatever bytes come on whichever durable subject end as a dead letter, byte for byte, or count for nothing; no run is the worse."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.client import Client
from stretto.bus.codec import encode
from stretto.bus.dead_letter_office import DeadLetterOffice, KeptLetter, LetterFilter
from stretto.bus.envelope import ArtifactRef, Envelope, open_envelope
from stretto.bus.errors import RunExists
from stretto.bus.message import Message
from stretto.bus.provisioning import missing_streams, provision
from stretto.bus.settlements import Settlements
from stretto.bus.streams import Deployment, agents_consumer, deployment_streams, task_stream
from stretto.bus.subjects import RunKey, Subjects, TaskKey
from stretto.bus.timers import Timers
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, RunRejected
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import RunTask, TaskResult
from stretto.shared.contracts.timer import TimerFired
from tests.integration.ground import LIMIT_S
from tests.integration.ground_check import settled_ground
from tests.integration.world import Given, Made, World, agent_of, open_world

ROLE = "patient"
PLAYBOOK = f"""
roles:
  {ROLE}: Takes its time.
tasks:
  - id: wait
    role: {ROLE}
    inputs: {{request: request}}
answer: wait
"""
SEEDS = range(3)


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    deployment = Deployment(subjects=Subjects(prefix), shards=2)
    async with open_world(nats_url, deployment, tmp_path) as world:
        world.playbook("one", PLAYBOOK)
        await world.supervise("s1")
        async with asyncio.timeout(LIMIT_S):
            while await missing_streams(world.connection, deployment_streams(deployment)):
                pass
        await provision(world.connection, task_stream(deployment, ROLE))
        yield world


class Patient:
    """An agent that is in the middle of its tasks, until it is let go on; then it does a step and answers."""

    def __init__(self) -> None:
        self.begun = asyncio.Queue[str]()
        self.go_on = asyncio.Event()

    async def __call__(self, task: Given, ctx: TaskContext) -> BaseModel:
        self.begun.put_nowait(ctx.key.run.run)
        await self.go_on.wait()

        async def double() -> str:
            return task.request * 2

        return Made(text=str(await ctx.step("double", task.request, double)))


def bodies(subjects: Subjects, key: RunKey) -> dict[str, tuple[str, Message, str]]:
    """For each durable subject: where it is, what belongs there, and who may say it."""
    task = TaskKey(key, ROLE, "wait", 1)
    question = Question(id="q-1", task="wait", attempt=1, role=ROLE, position=0, digest="d", text="?")
    return {
        "request": (subjects.request(key, "eve"), Request(text="x"), "eve"),
        "result": (
            subjects.result(task),
            TaskResult(task="wait", attempt=1, role=ROLE, agent="eve", output={"text": "evil"}),
            "eve",
        ),
        "question": (subjects.question(task, 0), question, "eve"),
        "command": (subjects.command(key, "eve", "c1"), Command(verb="cancel"), "eve"),
        "timer": (subjects.timer(key, "deadline"), TimerFired(name="deadline"), "eve"),
        "task": (subjects.task(task, 7), RunTask(shard=key.shard, task="wait", attempt=1, role=ROLE, input={}), "eve"),
        "step": (subjects.step(task, 0), TimerFired(name="x"), "eve"),
        "intent": (subjects.intent(task, 0), TimerFired(name="x"), "eve"),
        "decision": (subjects.decision(key), Decision(events=(RunRejected(reason="evil"),)), "eve"),
        "answer": (subjects.answer(key), Answer(state="completed", text="evil"), "eve"),
    }


DELIVERED = ("request", "result", "question", "command", "timer", "task")


def junk(kind: str, message: Message, key: RunKey, sender: str, seed: int) -> Iterator[bytes]:
    """What could come: noise, what breaks decoders, and messages that are nearly right."""
    chance = random.Random(f"{kind} {seed}")  # noqa: S311 (to be repeated, not to be secret)
    yield b""
    yield chance.randbytes(chance.randrange(1, 2_000))
    yield msgpack.packb(chance.randbytes(40))
    yield bytes([0x91]) * 5_000 + b"\x01"  # nested 5,000 deep
    yield b'{"a":' * 2_000 + b"1" + b"}" * 2_000
    yield b"\xdf\xff\xff\xff\xff"  # a map that says it has four billion entries
    yield b"\xc7\x08\x01" + chance.randbytes(8)  # an extension
    yield b'{"type": "request", "type": "result"}'

    def wrapped(**fields: Any) -> bytes:
        right = Envelope.of(message, tenant=key.tenant, run=key.run, sender=sender)
        return encode(right.model_copy(update=fields))

    whole = wrapped()
    yield whole[: chance.randrange(1, len(whole))]
    yield whole + b"\x00"
    yield wrapped(version="2.0")
    yield wrapped(type="invoice")
    yield wrapped(tenant="another")
    yield wrapped(run="another")
    yield wrapped(
        body={"unknown": chance.random()} if kind in {"result", "task", "question", "timer"} else {"text": []}
    )
    yield wrapped(body={}, artifact=ArtifactRef(sha256=chance.randbytes(32).hex(), size_bytes=9))
    if kind in {"request", "command"}:
        yield wrapped(sender="another")
    if kind in {"result", "question", "timer", "task"}:
        yield wrapped(body=message.model_dump() | ({"name": "other"} if kind == "timer" else {"role": "writer"}))


def office(world: World) -> DeadLetterOffice:
    settlements = Settlements(
        connection=world.connection, subjects=world.subjects, wire=world.wire, principal="operator"
    )
    return DeadLetterOffice(
        connection=world.connection, subjects=world.subjects, wire=world.wire, settlements=settlements
    )


async def letters(world: World, count: int) -> list[KeptLetter]:
    """The dead letters, as soon as there are so many."""
    async with asyncio.timeout(LIMIT_S):
        while len(found := await office(world).newest(LetterFilter(), limit=10_000)) < count:
            pass
    return found


@pytest.mark.parametrize("seed", SEEDS)
async def test_junk_ends_as_a_dead_letter_or_counts_for_nothing(world: World, seed: int) -> None:
    patient = Patient()
    await world.serve(agent_of(ROLE, patient), "p1")
    runs = [await world.client.submit(Request(text=f"n{number}.", playbook="one")) for number in range(4)]
    async with asyncio.timeout(LIMIT_S):
        begun = {await patient.begun.get() for _ in runs}
    assert begun == set(runs)

    sent: Counter[tuple[str, bytes]] = Counter()
    victim, unborn = world.client.key(runs[0]), world.client.key(f"unborn-{seed}")
    for key in (victim, unborn):
        for kind, (subject, message, sender) in bodies(world.subjects, key).items():
            for data in junk(kind, message, key, sender, seed):
                # In a queue one message lies on a subject at a time.
                place = subject if kind != "task" else f"{subject.rpartition('.')[0]}.{100 + len(sent)}"
                await world.connection.jetstream.store(place, data)
                if kind in DELIVERED:
                    sent[place, data] += 1

    found = await letters(world, sent.total())
    assert Counter((one.letter.origin, one.letter.data) for one in found) == sent
    assert {one.letter.kind for one in found} <= {"undecodable", "unverified", "unprocessable"}
    assert all(one.letter.reason and one.letter.complete for one in found)
    assert {one.tenant for one in found} == {"default"}

    # Nobody is the worse for it: neither the run whose subjects it came on, nor its neighbours, nor one that is yet to come.
    patient.go_on.set()
    client = Client(connection=world.connection, deployment=world.deployment, answer_type=Answer)
    answers = [open_envelope(await client.result(run, timeout_s=LIMIT_S), Answer) for run in runs]
    assert [(answer.state, answer.text) for answer in answers] == [
        ("completed", f"n{number}.n{number}.") for number in range(4)
    ]
    with pytest.raises(RunExists):
        await client.submit(Request(text="late.", playbook="one"), run=unborn.run)
    refused = open_envelope(await client.result(unborn.run, timeout_s=LIMIT_S), Answer)
    assert (refused.state, "cannot be read" in refused.reason) == ("rejected", True)
    assert (await world.ask("new.", playbook="one")).text == "new.new."
    accounts = await settled_ground(world.connection, world.deployment)
    assert accounts.dead == sent.total() == await office(world).unsettled()


@pytest.mark.parametrize("kind", DELIVERED)
async def test_a_message_in_the_wrong_place_is_told_from_noise(world: World, kind: str) -> None:
    await world.serve(agent_of(ROLE, Patient()), "p1")
    key = RunKey(0, "default", "r1")
    subject, message, sender = bodies(world.subjects, key)[kind]
    moved = Envelope.of(message, tenant="another", run=key.run, sender=sender)
    if kind == "task":
        subject = world.subjects.task(TaskKey(key, ROLE, "wait", 1))
    await world.connection.jetstream.store(subject, encode(moved))
    found = await letters(world, 1)
    assert [(one.letter.kind, one.letter.error) for one in found] == [("unverified", "Unverified")]
    assert "another tenant" in found[0].letter.reason


async def test_what_is_in_order_but_of_no_use_is_told_from_both(world: World) -> None:
    key = RunKey(0, "default", "r1")
    envelope = Envelope.of(Command(verb="cancel"), tenant="default", run="r1", sender="ann")
    await world.connection.jetstream.store(world.subjects.command(key, "ann", "c1"), encode(envelope))
    found = await letters(world, 1)
    assert [(one.letter.kind, one.letter.reason) for one in found] == [("unprocessable", "there is no such run")]


@pytest.mark.parametrize(
    ("advisory", "kind"),
    [
        (b"\xff junk", "undecodable"),
        (b"[" * 5_000, "undecodable"),
        (b'{"stream": "{shard}", "stream_seq": 1, "deliveries": 5}', "unverified"),
        (b'{"stream": "{dead}", "stream_seq": 1, "deliveries": 5}', "unverified"),
        (b'{"stream": "{other}", "stream_seq": 1, "deliveries": 5}', "unverified"),
    ],
)
async def test_an_advisory_that_is_none_takes_nothing_away(world: World, advisory: bytes, kind: str) -> None:
    """Supervisors take out of its queue what the server says it delivers no more: of nothing else may an advisory have them do so."""
    names = {
        b"{shard}": world.subjects.runs_stream(0),
        b"{dead}": world.subjects.stream("DEAD"),
        b"{other}": Subjects("other").tasks_stream(ROLE),
    }
    for place, name in names.items():
        advisory = advisory.replace(place, name.encode())
    await world.connection.jetstream.store(world.subjects.decision(RunKey(0, "default", "r1")), b"x")
    subject = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.X.{agents_consumer(world.deployment)}"
    await world.connection.publish(subject, advisory)
    (letter,) = await letters(world, 1)
    assert (letter.letter.origin, letter.letter.kind, letter.letter.data) == (subject, kind, advisory)
    accounts = await settled_ground(world.connection, world.deployment)
    assert len(accounts.ignored) == 1, "what was stored is still there"


@pytest.mark.parametrize("schedule", [None, {"Nats-Schedule": "@at 2999-01-01T00:00:00Z"}], ids=["bytes", "schedule"])
async def test_junk_where_a_timer_is_set_does_not_keep_it_from_firing(
    world: World, schedule: dict[str, str] | None
) -> None:
    key = world.client.key("r1")
    elsewhere = {**schedule, "Nats-Schedule-Target": world.subjects.timer(key, "other")} if schedule else None
    await world.connection.jetstream.store(world.subjects.schedule(key, "wake"), b"junk", headers=elsewhere)
    timers = Timers(connection=world.connection, subjects=world.subjects, wire=world.wire)
    envelope = Envelope.of(TimerFired(name="wake"), tenant=key.tenant, run=key.run, sender="s1")
    async with world.connection.listen(f"{world.subjects.log(key)}.timer.wake") as news:
        await timers.arm(key, "wake", datetime.now(UTC), envelope)
        async with asyncio.timeout(LIMIT_S):
            assert (await news.get()).data == encode(envelope)


async def test_junk_where_a_task_is_queued_keeps_it_from_nobody(world: World) -> None:
    run = "r1"
    place = world.subjects.task(TaskKey(world.client.key(run), ROLE, "wait", 1))
    await world.connection.jetstream.store(place, b"junk")
    await world.client.submit(Request(text="n.", playbook="one"), run=run)
    decisions = f"{world.subjects.log(world.client.key(run))}.decision"
    async with world.connection.listen(decisions) as news, asyncio.timeout(LIMIT_S):
        while not await world.connection.jetstream.last(
            world.subjects.runs_stream(world.client.key(run).shard), world.subjects.decision(world.client.key(run))
        ):
            await news.get()
    patient = Patient()
    patient.go_on.set()
    await world.serve(agent_of(ROLE, patient), "p1")
    assert (await world.answer(run)).text == "n.n."
    assert [one.letter.data for one in await letters(world, 1)] == [b"junk"]
    await settled_ground(world.connection, world.deployment)
