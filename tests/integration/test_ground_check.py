"""The ground check sees what it is there to see: each kind of message that is lost, stuck, doubled or changed."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from stretto.bus.dead_letters import DeadLetters
from stretto.bus.delivery import Ack, Delivery, Disposition
from stretto.bus.envelope import Envelope
from stretto.bus.jetstream import Stored
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.request import Request
from tests.integration.ground import LIMIT_S, Ground, Note, Running, open_ground, wrap
from tests.integration.ground_check import Accounts, settled_ground, take_stock

ROLE = "worker"


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, run_lease_s=1.0) as ground:
        yield ground


async def stock(ground: Ground) -> Accounts:
    return await take_stock(ground.connection, ground.deployment)


async def drop_everything(ground: Ground) -> None:
    """A supervisor that acknowledges whatever comes and does nothing."""

    async def drop(_: Delivery) -> Disposition:
        return Ack()

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        running = Running(group, ground.pinned(), drop)
        while await _waiting(ground):
            pass
        await running.stop()


async def _waiting(ground: Ground) -> int:
    info = await ground.connection.jetstream.api(f"CONSUMER.INFO.{ground.shard}.supervisors")
    return int(info["num_pending"]) + int(info["num_ack_pending"])


async def junk(ground: Ground) -> Stored:
    seq = await ground.connection.jetstream.store(ground.subjects.request(ground.key(), "ann"), b"junk")
    stored = await ground.connection.jetstream.get(ground.shard, seq)
    assert stored is not None
    return stored


async def bury(ground: Ground, stored: Stored) -> None:
    dead = DeadLetters(connection=ground.connection, subjects=ground.subjects, wire=ground.wire, sender="s1")
    await dead.keep(stored, stream=ground.shard, kind="undecodable", reason="r")


async def test_nothing_is_wrong_with_messages_that_are_done_pending_or_dead(ground: Ground) -> None:
    await bury(ground, await junk(ground))
    key = ground.key("r2")
    request = Envelope.of(Request(text="why?"), tenant="default", run="r2", sender="ann")
    await ground.log.append(key, ground.subjects.request(key, "ann"), request, after=0)
    await ground.connection.jetstream.store(ground.subjects.decision(key), b"junk on nobody's way")
    accounts = await stock(ground)
    assert (accounts.pending, accounts.unaccounted) == (2, [])
    with pytest.raises(AssertionError, match="2 messages are pending"):
        await settled_ground(ground.connection, ground.deployment, limit_s=0.3)
    await drop_everything(ground)
    accounts = await settled_ground(ground.connection, ground.deployment)
    assert (accounts.done, accounts.pending, accounts.dead) == (1, 0, 1)
    assert accounts.ignored == [ground.subjects.decision(key)]


async def test_junk_that_was_acknowledged_without_a_letter_is_seen(ground: Ground) -> None:
    stored = await junk(ground)
    assert (await stock(ground)).unaccounted == [], "it is pending"
    await drop_everything(ground)
    with pytest.raises(AssertionError, match=f"message {stored.seq} of {ground.shard} .* has no dead letter"):
        await settled_ground(ground.connection, ground.deployment, limit_s=0.3)
    await bury(ground, stored)
    await settled_ground(ground.connection, ground.deployment)


async def test_a_letter_with_other_bytes_is_seen(ground: Ground) -> None:
    stored = await junk(ground)
    await bury(ground, Stored(stored.subject, stored.seq, stored.at, b"else", stored.headers))
    assert "another one than its dead letter says" in "".join((await stock(ground)).unaccounted)


async def test_a_second_letter_of_one_message_is_seen(ground: Ground) -> None:
    await bury(ground, await junk(ground))
    (letter,) = await ground.connection.jetstream.read(ground.subjects.stream("DEAD"), ground.subjects.any_dead())
    await ground.connection.jetstream.store(letter.subject, letter.data)
    assert "2 dead letters" in "".join((await stock(ground)).unaccounted)


async def test_a_queued_message_that_comes_to_nobody_any_more_is_seen(ground: Ground) -> None:
    key = TaskKey(ground.key(), ROLE, "t1", 1)
    await ground.queue.put(key, wrap(Note(), key.run))
    assert (await stock(ground)).unaccounted == [], "it is pending"
    stream = ground.subjects.tasks_stream(ROLE)
    for consumer in (await ground.connection.jetstream.api(f"CONSUMER.NAMES.{stream}"))["consumers"]:
        await ground.connection.jetstream.api(f"CONSUMER.DELETE.{stream}.{consumer}")
    assert f"{stream} holds 1 messages that it delivers to nobody" in "".join((await stock(ground)).unaccounted)


async def test_a_dead_message_that_is_still_queued_is_seen(ground: Ground) -> None:
    key, stream = TaskKey(ground.key(), ROLE, "t1", 1), ground.subjects.tasks_stream(ROLE)
    await ground.queue.put(key, wrap(Note(), key.run))
    stored = await ground.connection.jetstream.get(stream, 1)
    assert stored is not None
    dead = DeadLetters(connection=ground.connection, subjects=ground.subjects, wire=ground.wire, sender="s1")
    await dead.keep(stored, stream=stream, kind="exhausted", reason="r")
    assert "is dead and still in the queue" in "".join((await stock(ground)).unaccounted)


async def test_a_stream_of_nobodys_is_seen(ground: Ground) -> None:
    name = ground.subjects.stream("OTHER")
    await ground.connection.jetstream.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"]})
    assert f"{name} is a stream of nobody's" in (await stock(ground)).unaccounted
