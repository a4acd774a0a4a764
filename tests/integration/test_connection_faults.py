"""A connection whose network breaks: it says so in time, and comes back by itself, with everything that hangs on it."""

import asyncio
import contextlib
import json
import random
import signal
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.consume import Consumer, ConsumerOptions, Handler
from stretto.bus.delivery import Ack, Delivery, Disposition
from stretto.bus.errors import Refused, RetryLater, TimedOut, TooLarge, Unreachable
from stretto.bus.jetstream import Stored
from stretto.bus.run_log import RunLog
from stretto.bus.server.binary import find_server
from stretto.bus.streams import agents_consumer
from stretto.bus.subjects import TaskKey
from tests.faults.proxy import Mode, Proxy
from tests.integration.ground import LIMIT_S, Ground, Note, Running, open_ground, wrap

ROLE = "worker"
OPTIONS = ConnectionOptions("", name="far", ping_interval_s=0.3, send_limit_s=0.5)
"""A dead server is noticed in about a second here; as it stands it takes a quarter of a minute."""
AT_ONCE_S = 5.0


def black_hole(proxy: Proxy) -> None:
    proxy.become(up=Mode.DROP, down=Mode.DROP)


def deaf(proxy: Proxy) -> None:
    proxy.become(down=Mode.DROP)


def mute(proxy: Proxy) -> None:
    proxy.become(up=Mode.DROP)


def stalled(proxy: Proxy) -> None:
    proxy.become(up=Mode.STALL, down=Mode.STALL)


FAULTS = [black_hole, deaf, mute, stalled, Proxy.refuse]
every_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
Fault = Callable[[Proxy], None]


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, task_lease_s=1.0) as ground:
        await ground.queue.provision(ROLE)
        yield ground


@pytest.fixture
async def proxy(ground: Ground) -> AsyncGenerator[Proxy]:
    async with Proxy(ground.url) as proxy:
        yield proxy


@pytest.fixture
async def far(ground: Ground, proxy: Proxy) -> AsyncGenerator[Connection]:
    """A connection through the proxy; `ground.connection` goes past it."""
    async with await Connection.open(replace(OPTIONS, url=proxy.url)) as far:
        yield far


async def put(ground: Ground, *names: str) -> None:
    for name in names:
        key = TaskKey(ground.key(), ROLE, name, 1)
        await ground.queue.put(key, wrap(Note(text=name), key.run))


class Taken:
    """A handler that notes what comes."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._more = asyncio.Event()

    async def __call__(self, delivery: Delivery) -> Disposition:
        self.names.append(delivery.subject.split(".")[-3])
        self._more.set()
        return Ack()

    async def until(self, name: str, *, within_s: float = LIMIT_S) -> None:
        """Wait until this one has come."""
        async with asyncio.timeout(within_s):
            while name not in self.names:
                self._more.clear()
                await self._more.wait()


def running_consumer(group: asyncio.TaskGroup, ground: Ground, far: Connection, handler: Handler) -> Running[Consumer]:
    """The agents' consumer, over a connection that breaks."""
    options = ConsumerOptions(
        ground.subjects.tasks_stream(ROLE), agents_consumer(ground.deployment), slots=4, renew_s=0.3
    )
    return Running(group, Consumer(connection=far, options=options), handler)


async def given_up(proxy: Proxy, came: int) -> None:
    """Wait until the client has given its link up and comes again; `came` is how often it had come when all was well."""
    async with asyncio.timeout(LIMIT_S):
        while proxy.came == came:
            await proxy.changed()


async def write_once(ground: Ground, connection: Connection) -> bool:
    """Write the decision of a run; return whether it was the first there."""
    log, key = RunLog(connection=connection, subjects=ground.subjects, wire=ground.wire), ground.key()
    return await log.write_once(key, ground.subjects.decision(key), Note(text="once"), wrap(Note(text="once"), key))


async def written(ground: Ground) -> list[Stored]:
    return await ground.connection.jetstream.read(ground.shard, ground.subjects.decision(ground.key()))


@every_fault
async def test_whatever_breaks_a_consumer_goes_on_at_once_when_it_is_whole_again(
    ground: Ground, proxy: Proxy, far: Connection, fault: Fault
) -> None:
    taken = Taken()
    async with asyncio.TaskGroup() as group:
        running = running_consumer(group, ground, far, taken)
        await put(ground, "before")
        await taken.until("before")
        fault(proxy)
        await put(ground, "meanwhile")
        await given_up(proxy, came=1)
        proxy.heal()
        await put(ground, "after")
        # Pulled for at once; what went into the void comes when its lease is over.
        await taken.until("after", within_s=AT_ONCE_S)
        await taken.until("meanwhile", within_s=AT_ONCE_S)
        await running.stop()


@every_fault
async def test_a_write_begun_while_it_is_broken_is_there_once_when_it_is_whole_again(
    ground: Ground, proxy: Proxy, far: Connection, fault: Fault
) -> None:
    fault(proxy)
    async with asyncio.TaskGroup() as group:
        write = group.create_task(write_once(ground, far))
        await given_up(proxy, came=1)
        proxy.heal()
        async with asyncio.timeout(AT_ONCE_S):
            assert await write, "it must know its own write again"
    assert len(await written(ground)) == 1


@every_fault
async def test_nothing_takes_longer_than_its_limit_while_it_is_broken(
    ground: Ground, proxy: Proxy, far: Connection, fault: Fault
) -> None:
    subject = ground.subjects.decision(ground.key())
    fault(proxy)
    for call in (
        lambda: far.jetstream.store(subject, b"", timeout_s=0.3),
        lambda: far.jetstream.read(ground.shard, ">", timeout_s=0.3),
        lambda: far.jetstream.last(ground.shard, subject, timeout_s=0.3),
        lambda: far.jetstream.api("INFO", timeout_s=0.3),
        lambda: far.request("nobody.there", b"", timeout_s=0.3),
    ):
        async with asyncio.timeout(2.0):
            with pytest.raises(RetryLater):
                await call()
    async with asyncio.timeout(AT_ONCE_S):
        await far.close()


async def fill(connection: Connection) -> float:
    """Publish until there is no room any more; return how long the slowest publish took."""
    slowest = 0.0
    for _ in range(1_000):
        began = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                await connection.publish("somewhere", bytes(100_000))
        except Unreachable:
            return max(slowest, time.monotonic() - began)
        slowest = max(slowest, time.monotonic() - began)
    raise AssertionError("a hundred megabytes went nowhere, and nobody was told")


@pytest.mark.parametrize("fault", [stalled, black_hole], ids=["stalled", "black-hole"])
async def test_full_buffers_hold_nothing_up(ground: Ground, proxy: Proxy, far: Connection, fault: Fault) -> None:
    """What hung for ever in nats.py (issue 671): its reconnect waited for the old socket to take all that was written."""
    proxy.become(up=Mode.STALL, down=Mode.STALL)
    assert await fill(far) < OPTIONS.send_limit_s + 0.5
    fault(proxy)
    async with asyncio.timeout(1.0):
        with pytest.raises((TimedOut, Unreachable)):
            await far.request("nobody.there", b"", timeout_s=0.3)
    await given_up(proxy, came=1)
    proxy.heal()
    async with asyncio.timeout(AT_ONCE_S):
        await far.jetstream.store(ground.subjects.decision(ground.key()), b"")


async def test_closing_takes_its_limit_at_most_when_the_buffers_are_full(proxy: Proxy, far: Connection) -> None:
    proxy.become(up=Mode.STALL, down=Mode.STALL)
    await fill(far)
    async with asyncio.timeout(AT_ONCE_S):
        await far.close()


async def test_closing_while_it_looks_for_the_server_takes_no_time_and_raises_nothing(
    ground: Ground, proxy: Proxy, far: Connection
) -> None:
    proxy.refuse()
    await given_up(proxy, came=1)
    await far.publish("somewhere", b"never sent")
    async with asyncio.timeout(1.0):
        await far.close()
    with pytest.raises(Unreachable):
        await far.publish("somewhere", b"")


@every_fault
async def test_a_consumer_that_is_cut_off_stops_when_it_is_told_to(
    ground: Ground, proxy: Proxy, far: Connection, fault: Fault
) -> None:
    taken = Taken()
    async with asyncio.TaskGroup() as group:
        running = running_consumer(group, ground, far, taken)
        await put(ground, "before")
        await taken.until("before")
        fault(proxy)
        async with asyncio.timeout(AT_ONCE_S):
            await running.stop()


async def test_draining_takes_its_limit_at_most_and_its_subscription_does_not_come_back(
    ground: Ground, proxy: Proxy, far: Connection, prefix: str
) -> None:
    heard: list[Msg] = []

    async def hear(msg: Msg) -> None:
        heard.append(msg)

    drained, again = await far.subscribe(f"{prefix}.news", hear), asyncio.Event()
    far.on_reconnect(again.set)
    stalled(proxy)
    async with asyncio.timeout(AT_ONCE_S):
        await far.drain(drained)
    proxy.reset()
    proxy.heal()
    async with asyncio.timeout(AT_ONCE_S):
        await again.wait()
    await far.publish(f"{prefix}.news", b"")
    await far.client.flush()
    assert heard == []


async def test_an_acknowledgement_that_is_lost_is_asked_for_again_and_leaves_one_copy(
    ground: Ground, proxy: Proxy, far: Connection
) -> None:
    """The write has happened, its PubAck has not come: the second copy is refused, and the writer finds its own."""
    proxy.lose_answer("*.decision")
    async with asyncio.TaskGroup() as group:
        write = group.create_task(write_once(ground, far))
        async with asyncio.timeout(LIMIT_S):
            while not proxy.lost:
                await proxy.changed()
        assert len(await written(ground)) == 1
        assert not write.done()
        proxy.reset()
        async with asyncio.timeout(AT_ONCE_S):
            assert await write
    assert len(await written(ground)) == 1


async def answered(question: Coroutine[object, object, Msg]) -> bool:
    try:
        await question
    except TimedOut:
        return False
    return True


async def test_a_question_in_flight_at_a_reset_is_asked_again_if_it_may_be(
    ground: Ground, proxy: Proxy, far: Connection, prefix: str
) -> None:
    asked: asyncio.Queue[Msg] = asyncio.Queue()

    async def ask(msg: Msg) -> None:
        asked.put_nowait(msg)

    await ground.connection.subscribe(f"{prefix}.ask", ask)
    await ground.connection.client.flush()
    async with asyncio.TaskGroup() as group, asyncio.timeout(LIMIT_S):
        twice = group.create_task(far.request(f"{prefix}.ask", b"twice", timeout_s=LIMIT_S, resend=True))
        await asked.get()
        once = group.create_task(answered(far.request(f"{prefix}.ask", b"once", timeout_s=1.0)))
        await asked.get()
        proxy.reset()
        again = await asked.get()
        assert again.data == b"twice"
        await ground.connection.publish(again.reply, b"answer")
        assert (await twice).data == b"answer"
        assert not await once
    assert asked.empty()


@pytest.mark.parametrize(
    "said",
    [
        "'Authorization Violation'",
        "'User Authentication Expired'",
        "'maximum connections exceeded'",
        "'Stale Connection'",
    ],
)
async def test_whatever_error_the_server_sends_the_connection_outlives_it(
    ground: Ground, proxy: Proxy, far: Connection, said: str
) -> None:
    again = asyncio.Event()
    far.on_reconnect(again.set)
    proxy.links[0].down.inject(f"-ERR {said}\r\n".encode())
    async with asyncio.timeout(AT_ONCE_S):
        await again.wait()
        await far.jetstream.store(ground.subjects.decision(ground.key()), b"")


async def test_an_answer_to_a_ping_that_nobody_waits_for_any_more_makes_nobody_deaf(
    ground: Ground, proxy: Proxy, far: Connection
) -> None:
    """nats-py's read loop ended here, and the connection with it: pings went unanswered until it counted as stale."""
    lost = asyncio.Event()
    far.on_reconnect(lost.set)
    proxy.delay(0.1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await far.client.flush()
    await far.client.flush()
    await far.jetstream.store(ground.subjects.decision(ground.key()), b"")
    assert not lost.is_set()


async def test_a_server_that_is_busy_with_our_own_writes_does_not_count_as_gone(
    ground: Ground, proxy: Proxy, far: Connection
) -> None:
    """It answers a ping when it is done with all that came before: with thousands of writes that takes seconds."""
    proxy.lose_pongs()
    subject, began = ground.subjects.decision(ground.key()), time.monotonic()
    while time.monotonic() < began + 5 * OPTIONS.ping_interval_s:
        await far.jetstream.store(subject, b"")
    assert proxy.came == 1
    await given_up(proxy, came=1)


async def test_a_flush_is_answered_after_what_was_published_before_it(
    ground: Ground, far: Connection, prefix: str
) -> None:
    heard: list[bytes] = []

    async def hear(msg: Msg) -> None:
        heard.append(msg.data)

    await far.subscribe(f"{prefix}.own", hear)
    await far.client.flush()
    for number in range(100):
        await far.publish(f"{prefix}.own", b"%d" % number)
    await far.client.flush()
    # What the server sent before its answer has been read before it.
    await asyncio.sleep(0)
    assert heard == [b"%d" % number for number in range(100)]


async def test_a_listener_that_fails_keeps_nobody_from_hearing_of_a_reconnect(
    ground: Ground, proxy: Proxy, far: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("broken on purpose")

    heard = asyncio.Event()
    far.on_reconnect(fail)
    far.on_reconnect(heard.set)
    for _ in range(2):
        heard.clear()
        proxy.reset()
        async with asyncio.timeout(AT_ONCE_S):
            await heard.wait()
    await far.jetstream.store(ground.subjects.decision(ground.key()), b"")
    assert "broken on purpose" in caplog.text


async def test_it_goes_to_another_of_its_servers_when_its_own_is_gone(ground: Ground, proxy: Proxy) -> None:
    async with Proxy(ground.url) as other:
        options = replace(OPTIONS, url=f"{proxy.url}, {other.url}")
        async with await Connection.open(options) as connection:
            for _ in range(2):
                here, there = (proxy, other) if proxy.links else (other, proxy)
                here.refuse()
                async with asyncio.timeout(AT_ONCE_S):
                    while not there.links:
                        await there.changed()
                    await connection.jetstream.store(ground.subjects.decision(ground.key()), b"")
                here.heal()


async def test_headers_count_as_payload_so_that_the_server_has_no_reason_to_hang_up(
    ground: Ground, proxy: Proxy, far: Connection
) -> None:
    subject, most = ground.subjects.decision(ground.key()), far.max_payload_bytes
    with pytest.raises(TooLarge):
        await far.jetstream.store(subject, bytes(most - 50), expect=0)
    with pytest.raises(TooLarge):
        await far.publish(subject, bytes(most - 10), headers={"Name": "value"})
    with pytest.raises(Refused, match="too long"):
        await far.publish("x" * 5_000, b"")
    assert await far.jetstream.store(subject, bytes(most - 60), expect=0)
    assert proxy.came == 1, "the server has hung up"


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_storm_the_connection_and_its_consumer_work(
    ground: Ground, proxy: Proxy, far: Connection, seed: int
) -> None:
    """Faults that follow each other faster than a reconnect takes."""
    storm, taken = random.Random(seed), Taken()  # noqa: S311 (no secret)
    async with asyncio.TaskGroup() as group:
        running = running_consumer(group, ground, far, taken)
        for _ in range(15):
            storm.choice([*FAULTS, Proxy.reset])(proxy)
            with contextlib.suppress(TimeoutError, Unreachable):
                async with asyncio.timeout(storm.uniform(0.0, 0.4)):
                    await far.publish("somewhere", bytes(storm.choice([10, 1_000_000])))
                    await asyncio.Event().wait()
            if storm.random() < 0.7:
                proxy.heal()
        proxy.heal()
        await put(ground, "after")
        await taken.until("after", within_s=2 * AT_ONCE_S)
        async with asyncio.timeout(AT_ONCE_S):
            assert await write_once(ground, far)
        await running.stop()


@contextlib.asynccontextmanager
async def cluster(folder: Path, size: int) -> AsyncGenerator[dict[str, asyncio.subprocess.Process]]:
    """Servers that know each other, by their addresses. Without streams."""
    async with contextlib.AsyncExitStack() as stack:
        nodes: dict[str, asyncio.subprocess.Process] = {}
        routes: list[str] = []
        for number in range(size):
            ports = folder / str(number)
            ports.mkdir()
            config = {
                "host": "127.0.0.1",
                "port": -1,
                "ports_file_dir": str(ports),
                "cluster": {"name": "both", "host": "127.0.0.1", "port": -1, "routes": routes},
            }
            (ports / "conf").write_text(json.dumps(config))
            node = await asyncio.create_subprocess_exec(find_server(), "-c", ports / "conf", stderr=DEVNULL)
            stack.push_async_callback(ended, node)
            async with asyncio.timeout(LIMIT_S):
                while not (said := listed_in(ports)):  # noqa: ASYNC110 (another process's file has no event)
                    await asyncio.sleep(0.01)
            routes = said["cluster"]
            nodes[said["nats"][0]] = node
        yield nodes


def listed_in(ports: Path) -> dict[str, list[str]]:
    """The addresses that a server has written down, once it has."""
    written = "".join(one.read_text() for one in ports.glob("*.ports"))
    return dict(json.loads(written)) if written.rstrip().endswith("}") else {}


async def ended(node: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        node.kill()
    await node.wait()


async def test_it_leaves_a_server_that_is_about_to_go_for_another_one(tmp_path: Path) -> None:
    """A lame duck has stopped its streams already, and keeps its clients for two minutes."""
    async with cluster(tmp_path, 2) as nodes:
        first, second = nodes
        async with await Connection.open(replace(OPTIONS, url=first, wait_s=LIMIT_S)) as connection:
            again, before = asyncio.Event(), connection.server_id
            connection.on_reconnect(again.set)
            async with await Connection.open(replace(OPTIONS, url=second)) as other, other.listen("news") as news:
                await other.client.flush()
                nodes[first].send_signal(signal.SIGUSR2)
                async with asyncio.timeout(AT_ONCE_S):
                    await again.wait()
                    assert connection.server_id == other.server_id != before
                    await connection.publish("news", b"still here")
                    assert (await news.get()).data == b"still here"
