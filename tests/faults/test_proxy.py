"""The proxy itself: a network that breaks as it is told, and not otherwise."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator

import pytest

from tests.faults.frames import Frame, Frames
from tests.faults.proxy import Mode, Proxy, tell
from tests.integration.ground import LIMIT_S


@pytest.fixture
async def proxy(nats_url: str) -> AsyncGenerator[Proxy]:
    async with Proxy(nats_url) as proxy:
        yield proxy


class Raw:
    """A client that says what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, url: str, name: str = "raw") -> "Raw":
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        raw = cls(reader, writer)
        assert (await raw.line()).startswith("INFO")
        greeting = {"verbose": False, "headers": True, "no_responders": True, "name": name}
        raw.say(f"CONNECT {json.dumps(greeting)}", "SUB in.* 1", "PING")
        assert await raw.line() == "PONG"
        return raw

    def say(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())

    async def line(self) -> str:
        async with asyncio.timeout(LIMIT_S):
            return (await self.reader.readline()).decode().strip()

    async def takes(self, *lines: str) -> bool:
        """Say it; return whether there was room for it in the buffers."""
        self.say(*lines)
        try:
            async with asyncio.timeout(0.5):
                await self.writer.drain()
        except TimeoutError:
            return False
        return True

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(0.2):
                await self.reader.readline()
        except TimeoutError:
            return True
        return False


async def test_it_passes_everything_and_tells_who_is_connected(proxy: Proxy) -> None:
    one, other = await Raw.open(proxy.url, "one"), await Raw.open(proxy.url, "other")
    one.say("PUB in.other 5", "hello")
    assert await other.line() == "MSG in.other 1 5"
    assert await other.line() == "hello"
    assert [len(proxy.named(name)) for name in ("one", "other", "third")] == [1, 1, 0]
    one.writer.close()
    other.writer.close()
    async with asyncio.timeout(LIMIT_S):
        while proxy.links:
            await proxy.changed()


async def test_what_is_dropped_never_comes_and_the_link_is_reset_before_anything_passes_again(proxy: Proxy) -> None:
    raw = await Raw.open(proxy.url)
    for direction in ({"up": Mode.DROP}, {"down": Mode.DROP}):
        proxy.become(**direction)
        raw.say("PING")
        assert await raw.hears_nothing()
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await raw.line()
        raw = await Raw.open(proxy.url)
    raw.writer.close()


async def test_what_is_stalled_comes_when_it_passes_again_and_the_senders_buffers_fill(proxy: Proxy) -> None:
    raw, payload = await Raw.open(proxy.url), "x" * 100_000
    proxy.become(up=Mode.STALL)
    while await raw.takes(f"PUB out {len(payload)}", payload):
        pass
    raw.say("PING")
    proxy.heal()
    assert await raw.line() == "PONG"
    raw.writer.close()


async def test_the_end_of_a_client_does_not_get_through_a_black_hole(proxy: Proxy) -> None:
    raw = await Raw.open(proxy.url)
    proxy.become(up=Mode.DROP, down=Mode.DROP)
    raw.writer.transport.abort()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await proxy.changed()
    assert len(proxy.links) == 1, "the server still holds the connection"
    proxy.heal()
    async with asyncio.timeout(LIMIT_S):
        while proxy.links:
            await proxy.changed()


async def test_everything_is_late_by_the_delay_in_each_direction(proxy: Proxy) -> None:
    raw, now = await Raw.open(proxy.url), asyncio.get_running_loop().time
    proxy.delay(0.15)
    began = now()
    raw.say("PING")
    assert await raw.line() == "PONG"
    assert now() - began >= 0.3
    raw.writer.close()


async def test_a_refusing_proxy_resets_old_and_new_links(proxy: Proxy) -> None:
    raw = await Raw.open(proxy.url)
    proxy.refuse()
    with pytest.raises(ConnectionResetError):
        await raw.line()
    with pytest.raises(OSError, match="reset"):
        await Raw.open(proxy.url)
    proxy.heal()
    (await Raw.open(proxy.url)).writer.close()


async def test_only_the_answer_that_is_to_be_lost_is_lost(proxy: Proxy) -> None:
    raw = await Raw.open(proxy.url)
    proxy.lose_answer("nobody.*")
    raw.say("PUB nobody.there in.1 0", "", "PUB nobody.there in.2 0", "", "PING")
    lines = [await raw.line() for _ in range(4)]
    assert lines[0].startswith("HMSG in.2")
    assert lines[-1] == ""
    assert proxy.lost == 1
    raw.writer.close()


async def test_it_obeys_as_a_process_of_its_own(nats_url: str) -> None:
    command = (sys.executable, "-m", "tests.faults.proxy", nats_url)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        said = json.loads(await process.stdout.readline())
        raw = await Raw.open(said["url"], "far")
        assert json.loads(await tell(said["control"], "links")) == {"links": ["far"], "lost": 0, "came": 1}
        assert await tell(said["control"], "both drop") == "ok"
        raw.say("PING")
        assert await raw.hears_nothing()
        assert await tell(said["control"], "reset") == "ok"
        with pytest.raises(ConnectionResetError):
            await raw.line()
        assert "what is" in await tell(said["control"], "dance")
        assert "dance" in await tell(said["control"], "up dance")
    finally:
        process.terminate()
        assert await process.wait() == 0


def test_frames_are_cut_wherever_the_bytes_are() -> None:
    wire = (
        b'CONNECT {"a": "b c"}\r\nPUB a.b _INBOX.1 4\r\nx\r\ny\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n'
        b"MSG c 1 0\r\n\r\nHMSG d 2 back 12 12\r\nNATS/1.0\r\n\r\n\r\nPONG\r\n"
    )
    for step in (1, 3, 7, len(wire)):
        frames = Frames()
        found = [one for at in range(0, len(wire), step) for one in frames.feed(wire[at : at + step])]
        assert b"".join(one.data for one in found) == wire
        assert [(one.verb, one.subject, one.reply) for one in found] == [
            ("CONNECT", "", ""),
            ("PUB", "a.b", "_INBOX.1"),
            ("HPUB", "a", ""),
            ("MSG", "c", ""),
            ("HMSG", "d", "back"),
            ("PONG", "", ""),
        ]
    assert Frame((), b"\r\n").verb == ""
