"""A server that dies is noticed, and comes back at the same address with what it had stored."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest

from stretto.bus.server import EmbeddedServer, ServerOptions, running
from stretto.bus.server.probe import greeting

LIMIT_S = 20.0


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    options = ServerOptions(data_dir=tmp_path, stop_limit_s=0.5)
    async with EmbeddedServer(options) as started, await nats.connect(started.url) as connection:
        await connection.jetstream().add_stream(name="KEPT", subjects=["kept.>"])
        await connection.jetstream().publish("kept.a", b"before")
        yield started


async def stored(url: str) -> bytes | None:
    async with await nats.connect(url) as connection:
        return (await connection.jetstream().get_last_msg("KEPT", "kept.a")).data


def server_pid(data_dir: Path) -> int:
    (file,) = (data_dir / "ports").glob("*.ports")
    return int(file.stem.rpartition("_")[2])


async def test_a_killed_server_is_noticed_and_comes_back_with_its_store(server: EmbeddedServer, tmp_path: Path) -> None:
    url = server.url
    os.kill(server_pid(tmp_path), signal.SIGKILL)
    async with asyncio.timeout(LIMIT_S):
        assert await server.wait() == 128 + signal.SIGKILL
    assert await running(tmp_path) is None
    await server.restart()
    assert server.url == url == await running(tmp_path)
    assert await stored(url) == b"before"


async def test_a_running_server_restarts_with_its_store(server: EmbeddedServer, tmp_path: Path) -> None:
    url, first = server.url, await greeting(server.url)
    await server.restart()
    second = await greeting(url)
    assert first is not None
    assert second is not None
    assert first.server_id != second.server_id
    assert await stored(url) == b"before"


async def test_a_server_whose_guard_was_killed_is_replaced(server: EmbeddedServer, tmp_path: Path) -> None:
    before = await greeting(server.url)
    os.kill(int((tmp_path / "nats.lock").read_text()), signal.SIGKILL)
    async with asyncio.timeout(LIMIT_S):
        assert await server.wait() == 128 + signal.SIGKILL
    assert await greeting(server.url) == before, "the server was meant to outlive its guard here"
    await server.restart()
    assert await greeting(server.url) != before
    assert await stored(server.url) == b"before"


async def test_a_wait_that_is_cancelled_leaves_the_server_running(server: EmbeddedServer, tmp_path: Path) -> None:
    waiting = asyncio.create_task(server.wait())
    await asyncio.wait([waiting], timeout=0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await running(tmp_path) == server.url
