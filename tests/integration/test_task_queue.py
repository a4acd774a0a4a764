"""Task queues: what becomes of them when their server dies."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import psutil

from stretto.bus.connection import Connection
from stretto.bus.delivery import Ack, Delivery, Disposition, Hold
from stretto.bus.jetstream import JetStream, Stored
from stretto.bus.subjects import TaskKey
from stretto.bus.task_queue import TaskQueue
from tests.integration.ground import LIMIT_S, Ground, MortalServer, Note, open_ground, wrap

ROLE = "works"


def key_of(ground: Ground, name: str) -> TaskKey:
    return TaskKey(ground.key(), ROLE, name, 1)


async def put(ground: Ground, name: str) -> None:
    await ground.queue.put(key_of(ground, name), wrap(Note(text=name), ground.key()))


class TakenMeanwhile:
    """A JetStream where somebody takes a message away just before it is looked at."""

    def __init__(self, jetstream: JetStream, take_away: Callable[[], Awaitable[None]]) -> None:
        self._jetstream = jetstream
        self._take_away = take_away

    @property
    def jetstream(self) -> "TakenMeanwhile":
        return self

    async def last(self, stream: str, subject: str) -> Stored | None:
        await self._take_away()
        return await self._jetstream.last(stream, subject)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jetstream, name)


async def test_a_task_is_queued_where_junk_is_given_up_meanwhile(nats_url: str, prefix: str) -> None:
    async with open_ground(nats_url, prefix) as ground:
        stream, subject = ground.subjects.tasks_stream(ROLE), ground.subjects.task(key_of(ground, "due"))
        await ground.queue.provision(ROLE)
        await ground.connection.jetstream.store(subject, b"junk")
        connection = TakenMeanwhile(ground.connection.jetstream, lambda: ground.queue.remove(stream, subject))
        queue = TaskQueue(connection=cast("Connection", connection), deployment=ground.deployment, wire=ground.wire)

        envelope = wrap(Note(text="due"), ground.key())
        await queue.put(key_of(ground, "due"), envelope)

        there = await ground.connection.jetstream.last(stream, subject)
        assert there is not None
        assert (await ground.wire.unpack(there.data, there.headers)).id == envelope.id


async def test_tasks_come_at_once_where_a_crashed_server_lost_others(tmp_path: Path) -> None:
    """The server knows that it delivered the lost ones, and gives their sequences to the next."""
    came: asyncio.Queue[Delivery] = asyncio.Queue()

    async def take(delivery: Delivery) -> Disposition:
        came.put_nowait(delivery)
        return Hold() if "lost" in delivery.subject else Ack()

    async with (
        MortalServer(tmp_path) as server,
        open_ground(server.url, "lossy") as ground,
        asyncio.TaskGroup() as group,
    ):
        await ground.queue.provision(ROLE)
        consumer = ground.queue.consumer(ROLE, slots=4)
        group.create_task(consumer.run(take))
        stream = ground.subjects.tasks_stream(ROLE)
        for name in ("lost-1", "lost-2", "lost-3"):
            await put(ground, name)
        async with asyncio.timeout(LIMIT_S):
            for _ in range(3):
                await came.get()
        back = reconnected(ground.connection)
        await server.kill()
        forget(tmp_path, stream)
        await server.restart()
        async with asyncio.timeout(LIMIT_S):
            await back.wait()
        await ground.queue.mend()
        for name in ("new-1", "new-2"):
            await put(ground, name)
        async with asyncio.timeout(LIMIT_S):
            new = [await came.get() for _ in range(2)]
        consumer.stop()
        assert [one.subject for one in new] == [ground.subjects.task(key_of(ground, f"new-{n}")) for n in (1, 2)]
        assert [one.deliveries for one in new] == [1, 1]
        await ground.settled(stream, 0)


async def test_what_was_acknowledged_and_is_there_again_is_removed(tmp_path: Path) -> None:
    """The server has written that it was acknowledged, and not that it was removed."""
    done = asyncio.Event()

    async def take(delivery: Delivery) -> Disposition:
        done.set()
        return Ack()

    async with (
        MortalServer(tmp_path) as server,
        open_ground(server.url, "lossy") as ground,
        asyncio.TaskGroup() as group,
    ):
        await ground.queue.provision(ROLE)
        stream = ground.subjects.tasks_stream(ROLE)
        await put(ground, "done")
        await end(server)
        kept = blocks(tmp_path, stream)
        await server.restart()
        consumer = ground.queue.consumer(ROLE, slots=4)
        group.create_task(consumer.run(take))
        async with asyncio.timeout(LIMIT_S):
            await done.wait()
        await ground.settled(stream, 0)
        back = reconnected(ground.connection)
        await end(server)
        forget(tmp_path, stream)
        for block, data in kept.items():
            block.write_bytes(data)
        await server.restart()
        async with asyncio.timeout(LIMIT_S):
            await back.wait()
        await ground.settled(stream, 1)
        await ground.queue.mend()
        await ground.settled(stream, 0)
        consumer.stop()


async def test_mending_a_queue_that_lost_nothing_changes_nothing(nats_url: str, prefix: str) -> None:
    async with open_ground(nats_url, prefix) as ground:
        await put(ground, "one")
        await ground.queue.mend()
        info = await ground.connection.jetstream.api(f"STREAM.INFO.{ground.subjects.tasks_stream(ROLE)}")
        assert (info["state"]["messages"], info["state"]["last_seq"]) == (1, 1)


async def end(server: MortalServer) -> None:
    """In good order, so that all it knows is written."""
    process = psutil.Process(server.pid)
    server.signal(signal.SIGTERM)
    await asyncio.to_thread(process.wait, LIMIT_S)


def blocks(store: Path, stream: str) -> dict[Path, bytes]:
    """What the server has written of a stream."""
    return {block: block.read_bytes() for block in store.rglob(f"{stream}/msgs/*.blk")}


def forget(store: Path, stream: str) -> None:
    """Lose what the server had not written yet. A kill alone does so only now and then."""
    for block in store.rglob(f"{stream}/msgs/*"):
        block.unlink()


def reconnected(connection: Connection) -> asyncio.Event:
    back = asyncio.Event()
    connection.on_reconnect(back.set)
    return back
