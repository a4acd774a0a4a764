"""The connection: what it stores and reads, and which error says what, also when the server dies in mid-air."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.errors import (
    Busy,
    Conflict,
    Misconfigured,
    NotPermitted,
    Refused,
    StreamMissing,
    TimedOut,
    TooLarge,
    Unreachable,
)
from stretto.bus.jetstream import Stored
from stretto.bus.server.binary import find_server
from tests.integration.ground import LIMIT_S, Ground, MortalServer, open_ground


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix) as ground:
        yield ground


def decision(ground: Ground, run: str = "r1") -> str:
    return ground.subjects.decision(ground.key(run))


async def test_it_stores_and_reads_back_what_was_stored(ground: Ground) -> None:
    subject = decision(ground)
    seq = await ground.connection.jetstream.store(subject, b"\x00junk\xff", headers={"Kind": "ünusual"}, expect=0)
    last = await ground.connection.jetstream.last(ground.shard, subject)
    assert last is not None
    assert (last.subject, last.seq, last.data, last.headers["Kind"]) == (subject, seq, b"\x00junk\xff", "ünusual")
    assert last.at.tzinfo is not None
    assert await ground.connection.jetstream.read(ground.shard, f"{ground.subjects.run(ground.key())}.>") == [last]


async def test_a_write_that_expects_another_past_is_a_conflict_and_changes_nothing(ground: Ground) -> None:
    subject = decision(ground)
    seq = await ground.connection.jetstream.store(subject, b"1", expect=0)
    for expected in (0, seq + 5):
        with pytest.raises(Conflict) as conflict:
            await ground.connection.jetstream.store(subject, b"2", expect=expected)
        assert conflict.value.subject == subject
    assert await ground.connection.jetstream.store(subject, b"2", expect=seq) > seq
    with pytest.raises(Conflict):
        await ground.connection.jetstream.store(
            subject + ".x", b"3", expect=0, expect_on=subject.rpartition(".")[0] + ".>"
        )


async def test_there_is_no_last_message_where_there_is_none(ground: Ground) -> None:
    assert await ground.connection.jetstream.last(ground.shard, decision(ground)) is None
    assert await ground.connection.jetstream.read(ground.shard, f"{ground.subjects.run(ground.key())}.>") == []


async def test_reading_goes_over_several_batches_in_order_and_from_where_it_is_told(ground: Ground) -> None:
    subject = decision(ground)
    async with asyncio.TaskGroup() as group:
        for number in range(2_500):
            group.create_task(ground.connection.jetstream.store(subject, b"%d" % number))
            group.create_task(ground.connection.jetstream.store(decision(ground, "other"), b""))
    found = await ground.connection.jetstream.read(ground.shard, subject)
    assert sorted(int(one.data) for one in found) == list(range(2_500))
    assert [one.seq for one in found] == sorted(one.seq for one in found)
    assert (
        await ground.connection.jetstream.read(ground.shard, subject, batch=7, from_seq=found[-20].seq) == found[-20:]
    )
    assert await ground.connection.jetstream.read(ground.shard, subject, from_seq=found[-1].seq + 1) == []


async def test_a_stream_that_is_not_there_is_told_by_every_way_to_use_it(nats_url: str, prefix: str) -> None:
    async with await Connection.open(ConnectionOptions(nats_url, timeout_s=1.0)) as connection:
        with pytest.raises(StreamMissing, match=f"{prefix}.run.0.default.r1.decision"):
            await connection.jetstream.store(f"{prefix}.run.0.default.r1.decision", b"")
        with pytest.raises(StreamMissing, match=f"{prefix}_NONE"):
            await connection.jetstream.last(f"{prefix}_NONE", "a")
        with pytest.raises(StreamMissing, match=f"{prefix}_NONE"):
            await connection.jetstream.read(f"{prefix}_NONE", ">")


async def test_a_full_stream_is_busy(nats_url: str, prefix: str) -> None:
    async with await Connection.open(ConnectionOptions(nats_url)) as connection:
        config = {"name": prefix, "subjects": [f"{prefix}.>"], "max_msgs": 1, "discard": "new"}
        await connection.jetstream.api(f"STREAM.CREATE.{prefix}", config)
        await connection.jetstream.store(f"{prefix}.a", b"")
        with pytest.raises(Busy) as busy:
            await connection.jetstream.store(f"{prefix}.b", b"")
        assert busy.value.retry_in_s > 0


async def test_what_is_over_the_servers_limit_is_too_large_and_the_connection_lives(ground: Ground) -> None:
    too_much = b"x" * (ground.connection.max_payload_bytes + 1)
    with pytest.raises(TooLarge, match="1048577 bytes"):
        await ground.connection.jetstream.store(decision(ground), too_much)
    with pytest.raises(TooLarge):
        await ground.connection.publish("anywhere", too_much)
    assert await ground.connection.jetstream.store(decision(ground), too_much[:-1000]) > 0


async def test_a_subject_that_cannot_travel_is_refused(ground: Ground) -> None:
    for subject in ("", "a b", "a\r\nPUB x 0\r\n"):
        with pytest.raises(Refused):
            await ground.connection.publish(subject, b"")


async def test_asking_where_nobody_serves_is_unreachable_and_where_nobody_answers_times_out(
    ground: Ground, prefix: str
) -> None:
    with pytest.raises(Unreachable, match="nobody serves"):
        await ground.connection.request(f"{prefix}.nobody", b"")

    async def keep_silent(_: object) -> None:
        pass

    await ground.connection.subscribe(f"{prefix}.silent", keep_silent)
    with pytest.raises(TimedOut, match=r"0\.2 s"):
        await ground.connection.request(f"{prefix}.silent", b"", timeout_s=0.2)


async def test_gathering_returns_every_answer_within_its_time(ground: Ground, prefix: str) -> None:
    for number in range(3):
        other = await ground.connect()

        async def answer(msg: object, other: Connection = other, number: int = number) -> None:
            await other.publish(msg.reply, b"%d" % number)  # type: ignore[attr-defined]

        await other.subscribe(f"{prefix}.all", answer)
        await other.client.flush()
    found = await ground.connection.gather(f"{prefix}.all", b"", within_s=0.5)
    assert sorted(msg.data for msg in found) == [b"0", b"1", b"2"]
    assert await ground.connection.gather(f"{prefix}.nobody", b"", within_s=5.0) == []


async def test_listening_drops_the_oldest_when_its_queue_is_full(ground: Ground, prefix: str) -> None:
    async with ground.connection.listen(f"{prefix}.news", limit=2) as news:
        for number in range(5):
            await ground.connection.publish(f"{prefix}.news", b"%d" % number)
        await ground.connection.publish(f"{prefix}.news", b"5")
        async with asyncio.timeout(LIMIT_S):
            while (await news.get()).data != b"4":
                pass
            assert (await news.get()).data == b"5"


# Addresses and permissions


@pytest.mark.parametrize(
    "url",
    ["", "not an address", "nats://", "http://127.0.0.1:4222", "nats://127.0.0.1:port", "nats://[::1", "nats://a,"],
)
async def test_what_is_no_address_is_misconfigured(url: str) -> None:
    with pytest.raises(Misconfigured, match="is not a NATS address"):
        await Connection.open(ConnectionOptions(url, wait_s=30.0))


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


async def test_a_server_that_is_not_there_is_unreachable_at_once_and_its_password_is_not_told() -> None:
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(Unreachable) as unreachable:
            await Connection.open(ConnectionOptions(f"nats://ann:secret@127.0.0.1:{free_port()}"))
    assert "127.0.0.1" in str(unreachable.value)
    assert "secret" not in str(unreachable.value)


async def test_a_server_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    async with MortalServer(tmp_path) as server:
        url = server.url
        await server.kill()
        async with asyncio.TaskGroup() as group:
            opening = group.create_task(Connection.open(ConnectionOptions(url, wait_s=LIMIT_S)))
            await asyncio.wait([opening], timeout=0.3)
            assert not opening.done()
            await server.restart()
        async with opening.result() as connection:
            assert connection.is_connected
            assert connection.server_version.startswith("2.")


async def test_credentials_that_are_not_there_are_misconfigured(nats_url: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"nobody\.creds"):
        await Connection.open(ConnectionOptions(nats_url, credentials=str(tmp_path / "nobody.creds")))


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncGenerator[str]:
    """The address of a server where `ann` may only use the subjects below `mine`, and `root` any."""
    ports = tmp_path / "ports"
    ports.mkdir()
    ann = {"user": "ann", "password": "a", "permissions": {"publish": ["mine.>"], "subscribe": ["_INBOX.>", "mine.>"]}}
    config = {
        "host": "127.0.0.1",
        "port": -1,
        "ports_file_dir": str(ports),
        "jetstream": {"store_dir": str(tmp_path / "store")},
        "authorization": {"users": [{"user": "root", "password": "r"}, ann]},
    }
    (tmp_path / "conf").write_text(json.dumps(config))
    log = (tmp_path / "log").open("wb")
    server = await asyncio.create_subprocess_exec(find_server(), "-c", tmp_path / "conf", stderr=log)
    try:
        async with asyncio.timeout(LIMIT_S):
            while True:
                written = [one.read_text() for one in ports.glob("*.ports")]
                if written and written[0].strip().endswith("}"):
                    break
                await asyncio.sleep(0.01)  # for a file of another process there is nothing else to wait for
        address = str(json.loads(written[0])["nats"][0]).removeprefix("nats://")
        async with await Connection.open(ConnectionOptions(f"nats://root:r@{address}", wait_s=LIMIT_S)) as root:
            stream = {"name": "Mine", "subjects": ["mine.>", "Theirs.>"], "allow_direct": True}
            await root.jetstream.api("STREAM.CREATE.Mine", stream)
        yield address
    finally:
        server.terminate()
        await server.wait()
        log.close()


async def test_what_the_server_forbids_is_not_permitted_and_told_at_once(guarded: str) -> None:
    async with await Connection.open(ConnectionOptions(f"nats://ann:a@{guarded}", timeout_s=60.0)) as ann:
        async with asyncio.timeout(LIMIT_S):
            assert await ann.jetstream.store("mine.a", b"") == 1
            with pytest.raises(NotPermitted, match=r"Theirs\.b"):
                await ann.jetstream.store("Theirs.b", b"")
            with pytest.raises(NotPermitted, match=r"DIRECT\.GET\.Mine"):
                await ann.jetstream.read("Mine", ">")
            with pytest.raises(NotPermitted):
                await ann.jetstream.last("Mine", "mine.a")
            with pytest.raises(NotPermitted):
                await ann.jetstream.api("STREAM.INFO.Mine")
            with pytest.raises(NotPermitted):
                await ann.gather("$SRV.PING", b"", within_s=60.0)
            assert await ann.jetstream.store("mine.a", b"") == 2, "a refusal must not harm the connection"


async def test_wrong_credentials_are_not_permitted(guarded: str) -> None:
    for user in ("ann:wrong", "nobody:a"):
        with pytest.raises(NotPermitted, match="credentials"):
            await Connection.open(ConnectionOptions(f"nats://{user}@{guarded}"))


# Hostile bytes and a dying server


async def publish_raw(url: str, *commands: bytes) -> None:
    """Speak to the server as no proper client would, until it has taken everything."""
    host, _, port = url.removeprefix("nats://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b'CONNECT {"verbose":false,"headers":true,"protocol":1}\r\n' + b"".join(commands) + b"PING\r\n")
        async with asyncio.timeout(LIMIT_S):
            while (line := await reader.readline()) != b"PONG\r\n":
                assert not line.startswith(b"-ERR"), line
    finally:
        writer.close()
        await writer.wait_closed()


def hpub(subject: bytes, headers: bytes, payload: bytes = b"") -> bytes:
    return b"HPUB %s %d %d\r\n%s%s\r\n" % (subject, len(headers), len(headers) + len(payload), headers, payload)


@pytest.mark.parametrize(
    "headers",
    [
        b"A: b\r\n\r\n",
        b"NATS/1.0 \xff\xfe\xfd\r\n\r\n",
        b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"\r\n\r\n",
    ],
)
async def test_no_header_makes_a_reader_deaf(ground: Ground, prefix: str, headers: bytes) -> None:
    async with ground.connection.listen(f"{prefix}.open") as heard:
        await ground.connection.client.flush()
        await publish_raw(ground.url, hpub(f"{prefix}.open".encode(), headers, b"junk"))
        await (await ground.connect()).publish(f"{prefix}.open", b"sound")
        async with asyncio.timeout(LIMIT_S):
            while (await heard.get()).data != b"sound":
                pass


async def test_no_subject_makes_a_reader_deaf(ground: Ground, prefix: str) -> None:
    async with ground.connection.listen(f"{prefix}.open.>") as heard:
        await ground.connection.client.flush()
        await publish_raw(ground.url, b"PUB %s.open.\xff\xfe 4\r\njunk\r\n" % prefix.encode())
        async with asyncio.timeout(LIMIT_S):
            assert (await heard.get()).subject == f"{prefix}.open.\ufffd\ufffd"


@pytest.mark.skipif(sys.platform != "linux", reason="the option is Linux's")
async def test_the_kernel_gives_up_a_peer_that_is_gone(ground: Ground) -> None:
    writer = ground.connection.client._transport._io_writer  # type: ignore[union-attr]  # shown nowhere else
    used: socket.socket = writer.get_extra_info("socket")
    assert 0 < used.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 30_000


async def frozen(server: MortalServer, *work: asyncio.Task[object]) -> None:
    """Have the server die with this work under way: sent to it, and not answered."""
    await asyncio.wait(work, timeout=0.1)
    assert not any(one.done() for one in work)
    await server.kill()
    await server.restart()


async def test_writes_in_flight_are_sent_again_when_the_server_is_back(tmp_path: Path, prefix: str) -> None:
    async with MortalServer(tmp_path) as server, open_ground(server.url, prefix) as ground:
        first_id, again = ground.connection.server_id, asyncio.Event()
        ground.connection.on_reconnect(again.set)
        server.freeze()
        async with asyncio.TaskGroup() as group:
            writes = [
                group.create_task(ground.connection.jetstream.store(decision(ground, f"r{number}"), b"once", expect=0))
                for number in range(50)
            ]
            await frozen(server, *writes)
            async with asyncio.timeout(LIMIT_S):
                await again.wait()
                await asyncio.wait(writes)
        stored = await ground.connection.jetstream.read(ground.shard, ">")
        assert sorted(one.subject for one in stored) == sorted(decision(ground, f"r{number}") for number in range(50))
        assert sorted(write.result() for write in writes) == [one.seq for one in stored]
        assert ground.connection.server_id != first_id


async def test_reads_in_flight_are_asked_again_when_the_server_is_back(tmp_path: Path, prefix: str) -> None:
    async with MortalServer(tmp_path) as server, open_ground(server.url, prefix) as ground:
        seq = await ground.connection.jetstream.store(decision(ground), b"kept")
        server.freeze()

        async def read() -> list[Stored]:
            return await ground.connection.jetstream.read(ground.shard, decision(ground), timeout_s=60.0)

        async def last() -> Stored | None:
            return await ground.connection.jetstream.last(ground.shard, decision(ground), timeout_s=60.0)

        async with asyncio.TaskGroup() as group:
            all_of_it, end = group.create_task(read()), group.create_task(last())
            await frozen(server, all_of_it, end)
            async with asyncio.timeout(LIMIT_S):
                assert [one.seq for one in await all_of_it] == [seq]
                found = await end
        assert found is not None
        assert found.seq == seq


async def test_writes_while_the_server_is_away_wait_for_it_or_say_that_it_is_away(tmp_path: Path, prefix: str) -> None:
    async with MortalServer(tmp_path) as server, open_ground(server.url, prefix) as ground:
        await server.kill()
        with pytest.raises(Unreachable, match="no NATS server answers"):
            await ground.connection.jetstream.store(decision(ground), b"lost", expect=0, timeout_s=0.5)
        assert not ground.connection.is_connected
        async with asyncio.TaskGroup() as group:
            write = group.create_task(ground.connection.jetstream.store(decision(ground), b"kept", expect=0))
            await asyncio.wait([write], timeout=0.1)
            await server.restart()
        stored = await ground.connection.jetstream.read(ground.shard, ">")
        assert [(one.seq, one.data) for one in stored] == [(write.result(), b"kept")]


async def test_a_cancellation_that_comes_together_with_a_flushs_answer_is_not_lost(ground: Ground) -> None:
    client = ground.connection.client
    flushing = asyncio.ensure_future(client.flush())

    async with asyncio.timeout(LIMIT_S):
        await asyncio.sleep(0)  # it asks at once
        client._pongs[-1].add_done_callback(lambda _: flushing.cancel())
        with pytest.raises(asyncio.CancelledError):
            await flushing
