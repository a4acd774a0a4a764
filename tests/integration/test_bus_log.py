"""Run log, task queue and timers: who writes first wins, and what was done twice is there once."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stretto.bus.delivery import Ack, Delivery, Disposition
from stretto.bus.errors import Busy, Conflict
from stretto.bus.jetstream import Stored
from stretto.bus.subjects import TaskKey
from stretto.bus.timers import Timers
from tests.integration.ground import LIMIT_S, Ground, MortalServer, Note, Running, open_ground, wrap


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, queue_limit=3) as ground:
        yield ground


async def opened(ground: Ground, stored: Stored) -> str:
    return str((await ground.wire.unpack(stored.data, stored.headers)).body["text"])


# Run log


async def test_of_racing_writers_exactly_one_wins_each_round(ground: Ground) -> None:
    key = ground.key()
    subject, seq, winners = ground.subjects.decision(key), 0, []
    writers = [ground, *[await ground.again() for _ in range(4)]]

    async def write(number: int, after: int) -> int | None:
        try:
            return await writers[number].log.append(key, subject, wrap(Note(text=str(number)), key), after=after)
        except Conflict:
            return None

    for _ in range(20):
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(write(number, seq)) for number in range(5)]
        (won,) = [(number, one.result()) for number, one in enumerate(tries) if one.result() is not None]
        winners.append(str(won[0]))
        assert won[1] is not None
        seq = won[1]
    assert [await opened(ground, one) for one in await ground.log.fold(key)] == winners


async def test_an_append_that_was_sent_twice_is_no_conflict(ground: Ground) -> None:
    key = ground.key()
    subject, mine = ground.subjects.decision(key), wrap(Note(text="mine"), key)
    seq = await ground.log.append(key, subject, mine, after=0)
    assert await ground.log.append(key, subject, mine, after=0) == seq
    with pytest.raises(Conflict):
        await ground.log.append(key, subject, wrap(Note(text="theirs"), key), after=0)
    assert len(await ground.log.fold(key)) == 1


async def test_junk_in_the_way_of_an_append_is_a_conflict(ground: Ground) -> None:
    key = ground.key()
    await ground.connection.jetstream.store(ground.subjects.decision(key), b"junk")
    with pytest.raises(Conflict):
        await ground.log.append(key, ground.subjects.decision(key), wrap(Note(), key), after=0)


async def test_writing_once_is_won_by_the_first_and_told_to_the_others(ground: Ground) -> None:
    key, first, second = ground.key(), Note(text="first"), Note(text="second")
    subject, mine = ground.subjects.answer(key), wrap(first, key)
    assert await ground.log.write_once(key, subject, first, mine)
    assert await ground.log.write_once(key, subject, first, mine), "once more is the same write"
    assert not await ground.log.write_once(key, subject, second, wrap(second, key))
    assert [await opened(ground, one) for one in await ground.log.fold(key)] == ["first"]


async def test_junk_neither_keeps_a_write_out_nor_lets_a_second_one_in(ground: Ground) -> None:
    key, first, second = ground.key(), Note(text="first"), Note(text="second")
    subject = ground.subjects.answer(key)
    await ground.connection.jetstream.store(subject, b"junk")
    assert await ground.log.write_once(key, subject, first, wrap(first, key))
    await ground.connection.jetstream.store(subject, b"more junk")
    assert await ground.log.holds(key, subject, Note)
    assert not await ground.log.write_once(key, subject, second, wrap(second, key))


async def test_a_fold_is_in_the_order_of_storing_over_all_subjects_of_its_run_and_of_no_other(ground: Ground) -> None:
    key, other = ground.key(), ground.key("r11")
    subjects = [
        ground.subjects.request(key, "ann"),
        ground.subjects.decision(key),
        ground.subjects.result(TaskKey(key, "writer", "draft", 1)),
        ground.subjects.command(key, "ann", "c1"),
        ground.subjects.answer(key),
    ]
    for subject in subjects:
        await ground.log.append(key, subject, wrap(Note(), key), after=0)
        await ground.connection.jetstream.store(ground.subjects.decision(other), b"")
    log = await ground.log.fold(key)
    assert [one.subject for one in log] == subjects
    assert await ground.log.fold(key, from_seq=log[2].seq) == log[2:]


# Task queue


async def test_a_task_put_twice_is_queued_once_and_after_its_end_may_be_put_again(ground: Ground) -> None:
    key = TaskKey(ground.key(), "writer", "draft", 1)
    stream = ground.subjects.tasks_stream("writer")
    for _ in range(2):
        await ground.queue.put(key, wrap(Note(), key.run))
        await (await ground.again()).queue.put(key, wrap(Note(), key.run))
    await ground.settled(stream, 1)
    taken: asyncio.Queue[Delivery] = asyncio.Queue()

    async def take(delivery: Delivery) -> Disposition:
        taken.put_nowait(delivery)
        return Ack()

    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer("writer", slots=1), take)
        async with asyncio.timeout(LIMIT_S):
            await taken.get()
            await ground.settled(stream, 0)
            await ground.queue.put(key, wrap(Note(text="again"), key.run))
            again = await taken.get()
        await running.stop()
    assert (await ground.wire.unpack(again.data, again.headers)).body["text"] == "again"


async def test_a_full_queue_is_busy_for_new_tasks_and_not_for_one_that_it_holds(ground: Ground) -> None:
    keys = [TaskKey(ground.key(), "writer", f"t{number}", 1) for number in range(4)]
    for key in keys[:3]:
        await ground.queue.put(key, wrap(Note(), key.run))
    with pytest.raises(Busy):
        await ground.queue.put(keys[3], wrap(Note(), keys[3].run))
    await ground.queue.put(keys[0], wrap(Note(), keys[0].run))
    await ground.settled(ground.subjects.tasks_stream("writer"), 3)


# Timers


def timers_of(ground: Ground) -> Timers:
    return Timers(connection=ground.connection, subjects=ground.subjects, wire=ground.wire)


async def fired(ground: Ground, name: str) -> Stored:
    """The timer's message, as soon as the server has written it."""
    key = ground.key()
    async with (
        asyncio.timeout(LIMIT_S),
        ground.connection.listen(f"{ground.subjects.log(key)}.timer.{name}") as news,
    ):
        while (stored := await ground.log.last(key, ground.subjects.timer(key, name))) is None:
            await news.get()
    return stored


async def test_a_timer_fires_once_by_the_servers_clock_and_not_before_its_time(ground: Ground) -> None:
    key, at = ground.key(), datetime.now(UTC) + timedelta(seconds=0.5, microseconds=999)
    for text in ("first", "second"):
        await timers_of(ground).arm(key, "wake", at, wrap(Note(text=text), key))
    stored = await fired(ground, "wake")
    assert await opened(ground, stored) == "first"
    assert timedelta(0) <= stored.at - at < timedelta(seconds=2)
    await timers_of(ground).arm(key, "after", datetime.now(UTC), wrap(Note(), key))
    await fired(ground, "after")
    names = [one.subject.rpartition(".")[2] for one in await ground.log.fold(key) if ".timer." in one.subject]
    assert names == ["wake", "after"], "a second call must not have set a second timer"


async def test_a_timer_of_the_past_fires_at_once(ground: Ground) -> None:
    key = ground.key()
    await timers_of(ground).arm(key, "late", datetime.now(UTC) - timedelta(days=1), wrap(Note(text="late"), key))
    assert await opened(ground, await fired(ground, "late")) == "late"


async def test_a_fired_timer_is_delivered_to_the_supervisors(ground: Ground) -> None:
    key = ground.key()
    taken: asyncio.Queue[Delivery] = asyncio.Queue()

    async def take(delivery: Delivery) -> Disposition:
        taken.put_nowait(delivery)
        return Ack()

    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.pinned(), take)
        await timers_of(ground).arm(key, "wake", datetime.now(UTC), wrap(Note(), key))
        async with asyncio.timeout(LIMIT_S):
            assert (await taken.get()).subject == ground.subjects.timer(key, "wake")
        await running.stop()


async def test_a_timer_outlives_the_server_that_it_was_set_on(tmp_path: Path, prefix: str) -> None:
    async with MortalServer(tmp_path) as server, open_ground(server.url, prefix) as ground:
        key, at = ground.key(), datetime.now(UTC) + timedelta(seconds=1)
        await timers_of(ground).arm(key, "wake", at, wrap(Note(text="still there"), key))
        await server.kill()
        await server.restart()
        stored = await fired(ground, "wake")
        assert await opened(ground, stored) == "still there"
        assert stored.at >= at
