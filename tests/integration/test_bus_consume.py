"""The consume loop: slots, dispositions, leases, stop and cancel, missing consumers, restarts."""

import asyncio
import contextlib
import logging
import select
import time
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from stretto.bus.connection import Connection
from stretto.bus.consume import Consumer, ConsumerOptions
from stretto.bus.delivery import Ack, Delivery, Disposition, Hold, Nak
from stretto.bus.provisioning import provision
from stretto.bus.streams import agents_consumer, task_stream
from stretto.bus.subjects import TaskKey
from tests.integration.ground import LIMIT_S, Ground, MortalServer, Note, Running, open_ground, wrap

ROLE = "worker"


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, task_lease_s=1.5) as ground:
        yield ground


async def put(ground: Ground, *names: str) -> None:
    for name in names:
        key = TaskKey(ground.key(), ROLE, name, 1)
        await ground.queue.put(key, wrap(Note(text=name), key.run))


async def put_many(ground: Ground, count: int) -> None:
    """As `put`, many at once."""
    await ground.queue.provision(ROLE)
    payload = await ground.wire.pack(wrap(Note(), ground.key()))
    subjects = [ground.subjects.task(TaskKey(ground.key(), ROLE, f"t{number}", 1)) for number in range(count)]
    async with asyncio.TaskGroup() as group:
        for subject in subjects:
            group.create_task(ground.connection.jetstream.store(subject, payload))


def name_of(delivery: Delivery) -> str:
    return delivery.subject.split(".")[-3]


class Desk:
    """A handler that holds each message until the test lets it go."""

    def __init__(self, disposition: Disposition | None = None) -> None:
        self.taken: asyncio.Queue[Delivery] = asyncio.Queue()
        self.open = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0
        self._disposition = disposition or Ack()

    async def __call__(self, delivery: Delivery) -> Disposition:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.taken.put_nowait(delivery)
        try:
            await self.open.wait()
        finally:
            self.at_once -= 1
        return self._disposition

    async def take(self) -> Delivery:
        async with asyncio.timeout(LIMIT_S):
            return await self.taken.get()


async def test_never_more_handlers_than_slots_and_the_rest_stays_on_the_server(ground: Ground) -> None:
    await put(ground, *(f"t{number}" for number in range(10)))
    desk = Desk()
    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer(ROLE, slots=3), desk)
        first = {name_of(await desk.take()) for _ in range(3)}
        info = await ground.connection.jetstream.api(
            f"CONSUMER.INFO.{ground.subjects.tasks_stream(ROLE)}.{agents_consumer(ground.deployment)}"
        )
        assert (info["num_ack_pending"], info["num_pending"]) == (3, 7)
        assert running.consumer.busy == 3
        desk.open.set()
        rest = {name_of(await desk.take()) for _ in range(7)}
        await running.stop()
    assert first | rest == {f"t{number}" for number in range(10)}
    assert desk.most_at_once == 3
    await ground.settled(ground.subjects.tasks_stream(ROLE), 0)


async def test_nak_comes_again_after_its_delay_and_ack_never_does(ground: Ground) -> None:
    await put(ground, "again", "once")
    seen: asyncio.Queue[tuple[str, int, float]] = asyncio.Queue()

    async def handle(delivery: Delivery) -> Disposition:
        name = name_of(delivery)
        seen.put_nowait((name, delivery.deliveries, asyncio.get_running_loop().time()))
        return Nak(delay_s=0.3) if name == "again" and delivery.deliveries == 1 else Ack()

    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer(ROLE, slots=4), handle)
        async with asyncio.timeout(LIMIT_S):
            found = [await seen.get() for _ in range(3)]
        await running.stop()
    assert Counter((name, deliveries) for name, deliveries, _ in found) == Counter(
        [("again", 1), ("again", 2), ("once", 1)]
    )
    times = [at for name, _, at in found if name == "again"]
    assert times[1] - times[0] >= 0.3


async def test_hold_leaves_it_to_its_owner_who_acknowledges_later(ground: Ground) -> None:
    await put(ground, "held")
    desk = Desk(Hold())
    desk.open.set()
    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer(ROLE, slots=1), desk)
        held = await desk.take()
        await put(ground, "next")
        assert name_of(await desk.take()) == "next", "a held message must not keep its slot"
        await held.ack()
        await running.stop()
    await ground.settled(ground.subjects.tasks_stream(ROLE), 1)  # the acknowledged one is gone, the other one is held


async def test_a_handler_that_raises_gives_its_message_back_and_the_loop_goes_on(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    await put(ground, "bad")
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def handle(delivery: Delivery) -> Disposition:
        seen.put_nowait(name_of(delivery))
        if name_of(delivery) == "bad" and delivery.deliveries == 1:
            raise RuntimeError("broken on purpose")
        return Ack()

    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer(ROLE, slots=1), handle)
        async with asyncio.timeout(LIMIT_S):
            assert await seen.get() == "bad"
            await put(ground, "good")
            assert await seen.get() == "good", "the slot must be free again while the bad one waits"
            assert await seen.get() == "bad"
        await running.stop()
    assert "broken on purpose" in caplog.text


async def test_a_message_in_work_is_not_given_to_anybody_else_however_long_it_takes(ground: Ground) -> None:
    await put(ground, "long")
    desk, other = Desk(), Desk()
    async with asyncio.TaskGroup() as group:
        one = Running(group, ground.queue.consumer(ROLE, slots=1), desk)
        await desk.take()
        two = Running(group, (await ground.again()).queue.consumer(ROLE, slots=1), other)
        with pytest.raises(TimeoutError):  # twice the lease
            async with asyncio.timeout(2 * ground.deployment.task_lease_s):
                await other.taken.get()
        desk.open.set()
        await one.stop()
        await two.stop()
    await ground.settled(ground.subjects.tasks_stream(ROLE), 0)


async def test_an_agent_that_stops_renewing_loses_its_message(ground: Ground) -> None:
    await put(ground, "lost")
    options = ConsumerOptions(ground.subjects.tasks_stream(ROLE), agents_consumer(ground.deployment), 1)
    desk, other = Desk(), Desk()
    async with asyncio.TaskGroup() as group:
        one = Running(group, Consumer(connection=ground.connection, options=options), desk)
        await desk.take()
        two = Running(group, (await ground.again()).queue.consumer(ROLE, slots=1), other)
        assert (await other.take()).deliveries == 2
        other.open.set()
        desk.open.set()
        await one.stop()
        await two.stop()


async def test_stop_takes_no_more_and_finishes_what_is_in_hand(ground: Ground) -> None:
    await put(ground, "in-hand")
    desk = Desk()
    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer(ROLE, slots=4), desk)
        await desk.take()
        running.consumer.stop()
        done, _ = await asyncio.wait([running.task], timeout=0.2)
        assert not done, "it must not return before its work is done"
        await put(ground, "late")
        desk.open.set()
        await running.stop()
    assert desk.taken.empty()
    await ground.settled(ground.subjects.tasks_stream(ROLE), 1)  # only the late one is left


async def test_cancelling_gives_the_work_back_at_once(nats_url: str, prefix: str) -> None:
    async with open_ground(nats_url, prefix, task_lease_s=60.0) as ground:
        await put(ground, "cut")
        desk, other = Desk(), Desk()
        async with asyncio.TaskGroup() as group:
            one = Running(group, ground.queue.consumer(ROLE, slots=1), desk)
            await desk.take()
            await one.cancel()
            assert one.task.cancelled()
            assert desk.at_once == 0, "the handler must have been cancelled"
            two = Running(group, (await ground.again()).queue.consumer(ROLE, slots=1), other)
            assert (await other.take()).deliveries == 2, "long before the lease of a minute has run out"
            other.open.set()
            await two.stop()


async def test_what_was_on_its_way_when_stop_came_is_given_back_and_not_left_to_its_lease(
    nats_url: str, prefix: str
) -> None:
    async with open_ground(nats_url, prefix, task_lease_s=60.0) as ground:
        await ground.queue.provision(ROLE)
        stream, other, desk = ground.subjects.tasks_stream(ROLE), await ground.again(), Desk()
        desk.open.set()
        async with asyncio.TaskGroup() as group:
            running = Running(group, other.queue.consumer(ROLE, slots=8), desk)
            async with asyncio.timeout(LIMIT_S):
                while not (
                    await ground.connection.jetstream.api(
                        f"CONSUMER.INFO.{stream}.{agents_consumer(ground.deployment)}"
                    )
                )["num_waiting"]:
                    pass
            writer = other.connection.client._transport._io_writer  # type: ignore[union-attr]  # shown nowhere else
            writer.transport.pause_reading()
            await put(ground, "t1")
            # Blocks on purpose: the message has come as far as the socket, and stop comes before anybody reads it.
            assert select.select([writer.get_extra_info("socket").fileno()], [], [], LIMIT_S)[0]
            writer.transport.resume_reading()
            await running.stop()
            assert desk.taken.empty()
            two = Running(group, ground.queue.consumer(ROLE, slots=8), desk)
            assert name_of(await desk.take()) == "t1"
            await two.stop()


async def test_more_than_there_are_slots_waits_a_little_and_goes_back_at_once_when_it_stops(
    nats_url: str, prefix: str
) -> None:
    """As after a reconnect, when the pulls of before it are answered too."""
    async with open_ground(nats_url, prefix, task_lease_s=60.0) as ground:
        await put(ground, "t1", "t2", "t3")
        desk, other = Desk(), Desk()
        other.open.set()
        one_slot = ground.queue.consumer(ROLE, slots=1)
        inboxes: asyncio.Queue[str] = asyncio.Queue()

        async def note_pull(msg: object) -> None:
            inboxes.put_nowait(msg.reply)  # type: ignore[attr-defined]

        pulls = f"$JS.API.CONSUMER.MSG.NEXT.{ground.subjects.tasks_stream(ROLE)}.{agents_consumer(ground.deployment)}"
        watcher = await ground.connect()
        await watcher.subscribe(pulls, note_pull)
        await watcher.client.flush()
        async with asyncio.TaskGroup() as group:
            running = Running(group, one_slot, desk)
            assert name_of(await desk.take()) == "t1"
            async with asyncio.timeout(LIMIT_S):
                await watcher.publish(pulls, b'{"batch": 2}', reply=await inboxes.get())
                while one_slot.busy < 3:  # noqa: ASYNC110 (it tells by nothing else)
                    await asyncio.sleep(0)
            assert desk.most_at_once == 1
            one_slot.stop()
            two = Running(group, (await ground.again()).queue.consumer(ROLE, slots=2), other)
            assert {name_of(await other.take()) for _ in range(2)} == {"t2", "t3"}
            desk.open.set()
            await running.stop()
            await two.stop()
        assert desk.taken.empty()
        await ground.settled(ground.subjects.tasks_stream(ROLE), 0)


async def test_a_handler_that_does_not_care_that_it_is_cancelled_keeps_nobody_from_its_message(
    nats_url: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_ground(nats_url, prefix, task_lease_s=60.0) as ground:
        await put(ground, "kept")
        taken, released, other = asyncio.Event(), asyncio.Event(), Desk()
        other.open.set()

        async def keep(_: Delivery) -> Disposition:
            taken.set()
            while not released.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await released.wait()
            return Hold()

        async with asyncio.TaskGroup() as group:
            one = Running(group, ground.queue.consumer(ROLE, slots=1), keep)
            async with asyncio.timeout(LIMIT_S):
                await taken.wait()
            one.task.cancel()
            two = Running(group, (await ground.again()).queue.consumer(ROLE, slots=1), other)
            assert (await other.take()).deliveries == 2
            assert not one.task.done()
            released.set()
            await one.cancel()
            await two.stop()
    assert "goes on though it was cancelled" in caplog.text


async def test_a_handler_that_holds_the_whole_process_up_is_warned_of(
    nats_url: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_ground(nats_url, prefix, task_lease_s=1.0) as ground:
        await put(ground, "busy")
        warned = Heard("let it use asyncio.to_thread")
        logging.getLogger("stretto.bus.in_hand").addHandler(warned)

        async def compute(_: Delivery) -> Disposition:
            time.sleep(1.2)  # noqa: ASYNC251 (what must not be done)
            async with asyncio.timeout(LIMIT_S):
                await warned.event.wait()
            return Ack()

        try:
            async with asyncio.TaskGroup() as group:
                running = Running(group, ground.queue.consumer(ROLE, slots=1), compute)
                async with asyncio.timeout(LIMIT_S):
                    await warned.event.wait()
                await running.stop()
        finally:
            logging.getLogger("stretto.bus.in_hand").removeHandler(warned)


async def test_a_burst_of_pulled_messages_loses_none(ground: Ground) -> None:
    """nats-py drops what is over its limit for a subscription; a consumer never has more unread than one read of the socket."""
    count, payload = 120, bytes(500_000)
    await ground.queue.provision(ROLE)
    for number in range(count):
        subject = ground.subjects.task(TaskKey(ground.key(), ROLE, f"t{number}", 1))
        await ground.connection.jetstream.store(subject, payload)
    desk, seen = Desk(), Counter[str]()
    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer(ROLE, slots=count), desk)
        for _ in range(count):
            delivery = await desk.take()
            seen[name_of(delivery)] += delivery.deliveries
        desk.open.set()
        await running.stop()
    assert len(seen) == count
    assert set(seen.values()) == {1}


class Heard(logging.Handler):
    """Sets an event when a line with `words` is logged."""

    def __init__(self, words: str) -> None:
        super().__init__(logging.DEBUG)
        self.event = asyncio.Event()
        self._words = words

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            self.event.set()


async def test_it_waits_for_a_stream_that_is_not_there_yet(ground: Ground, caplog: pytest.LogCaptureFixture) -> None:
    stream = ground.subjects.tasks_stream(ROLE)
    refused, logger = Heard(f"pull from {stream}: 503"), logging.getLogger("stretto.bus.consume")
    caplog.set_level(logging.DEBUG, logger.name)
    logger.addHandler(refused)
    desk = Desk()
    desk.open.set()
    try:
        async with asyncio.TaskGroup() as group:
            running = Running(group, ground.queue.consumer(ROLE, slots=1), desk)
            async with asyncio.timeout(LIMIT_S):
                await refused.event.wait()
            await provision(ground.connection, task_stream(ground.deployment, ROLE))
            await put(ground, "first")
            assert name_of(await desk.take()) == "first"
            await running.stop()
    finally:
        logger.removeHandler(refused)


async def take_until(desk: Desk, name: str) -> None:
    """Take deliveries until this one: earlier ones may come twice where the server forgot their acknowledgement."""
    while name_of(await desk.take()) != name:
        pass


async def test_it_goes_on_when_its_consumer_was_deleted_and_made_again(ground: Ground) -> None:
    await put(ground, "before")
    desk = Desk()
    desk.open.set()
    stream = ground.subjects.tasks_stream(ROLE)
    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer(ROLE, slots=1), desk)
        await desk.take()
        await ground.connection.jetstream.api(f"CONSUMER.DELETE.{stream}.{agents_consumer(ground.deployment)}")
        await provision(ground.connection, task_stream(ground.deployment, ROLE))
        await put(ground, "after")
        await take_until(desk, "after")
        await running.stop()


async def test_it_pulls_again_after_the_server_was_killed_and_restarted(tmp_path: Path, prefix: str) -> None:
    # A task queue may forget its last messages in a crash and number new ones as these, which its consumer takes for delivered then:
    # such a message comes when the lease runs out.
    async with MortalServer(tmp_path) as server, open_ground(server.url, prefix, task_lease_s=1.5) as ground:
        await put(ground, "before")
        desk = Desk()
        desk.open.set()
        async with asyncio.TaskGroup() as group:
            running = Running(group, ground.queue.consumer(ROLE, slots=2), desk)
            await desk.take()
            await server.kill()
            await server.restart()
            await put(ground, "after")
            await take_until(desk, "after")
            await running.stop()


async def test_two_thousand_messages_are_each_handled_once(ground: Ground) -> None:
    await put_many(ground, 2_000)
    consumer = ground.queue.consumer(ROLE, slots=64)
    seen: Counter[str] = Counter()

    async def handle(delivery: Delivery) -> Disposition:
        seen[delivery.subject] += 1
        if len(seen) == 2_000:
            consumer.stop()
        return Ack()

    async with asyncio.timeout(2 * LIMIT_S):
        await consumer.run(handle)
    assert len(seen) == 2_000
    assert set(seen.values()) == {1}
    await ground.settled(ground.subjects.tasks_stream(ROLE), 0)


async def test_a_stray_message_on_its_inbox_costs_no_slot(ground: Ground) -> None:
    await put(ground, "first")
    desk = Desk()
    desk.open.set()
    inboxes: asyncio.Queue[str] = asyncio.Queue()

    async def note_pull(msg: object) -> None:
        inboxes.put_nowait(msg.reply)  # type: ignore[attr-defined]

    stream = ground.subjects.tasks_stream(ROLE)
    other: Connection = await ground.connect()
    await other.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{agents_consumer(ground.deployment)}", note_pull)
    await other.client.flush()
    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer(ROLE, slots=1), desk)
        await desk.take()
        async with asyncio.timeout(LIMIT_S):
            inbox = await inboxes.get()
        await other.publish(inbox, b"junk")
        await other.publish(inbox, b"junk", reply="$JS.ACK.junk")
        await other.client.flush()
        await put(ground, "second")
        assert name_of(await desk.take()) == "second"
        await running.stop()
        assert running.consumer.busy == 0


async def test_a_delivery_tells_the_same_time_as_the_stored_message(ground: Ground) -> None:
    await put(ground, *(f"t{number}" for number in range(20)))
    stored = await ground.connection.jetstream.read(
        ground.subjects.tasks_stream(ROLE), f"{ground.subjects.prefix}.task.>"
    )
    desk = Desk()
    desk.open.set()
    async with asyncio.TaskGroup() as group:
        running = Running(group, ground.queue.consumer(ROLE, slots=20), desk)
        taken = [await desk.take() for _ in range(20)]
        await running.stop()
    assert {one.seq: one.at for one in taken} == {one.seq: one.at for one in stored}
