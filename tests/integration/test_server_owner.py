"""One data directory has one owner, the server ends with it, and what a crash leaves behind confuses nobody."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stretto.bus.errors import StoreLocked
from stretto.bus.server import EmbeddedServer, ServerOptions, running
from stretto.bus.server.probe import greeting

LIMIT_S = 20.0
OWNER = """
import asyncio, sys
from pathlib import Path
from stretto.bus.server import EmbeddedServer, ServerOptions

async def main() -> None:
    async with EmbeddedServer(ServerOptions(data_dir=Path(sys.argv[1]), stop_limit_s=0.5)) as server:
        print(server.url, flush=True)
        await server.wait()

asyncio.run(main())
"""


@contextmanager
def owner_of(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that owns `data_dir`, and the URL of its server; killed at the end."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(data_dir)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url
            yield process, url
        finally:
            process.kill()


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    assert (await reader.readline()).startswith(b"INFO ")
    return reader, writer


def options(data_dir: Path) -> ServerOptions:
    return ServerOptions(data_dir=data_dir, stop_limit_s=0.5)


async def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with owner_of(tmp_path) as (owner, url):
        with pytest.raises(StoreLocked) as raised:
            await EmbeddedServer(options(tmp_path)).start()
        for part in (str(tmp_path), f"process {owner.pid}", url):
            assert part in str(raised.value)
        assert await running(tmp_path) == url


async def test_two_owners_in_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    async with EmbeddedServer(options(tmp_path)) as first:
        with pytest.raises(StoreLocked):
            await EmbeddedServer(options(tmp_path)).start()
        assert await running(tmp_path) == first.url


async def test_kill_9_of_the_owner_ends_the_server(tmp_path: Path) -> None:
    with owner_of(tmp_path) as (owner, url):
        reader, writer = await connect(url)
        owner.kill()
        async with asyncio.timeout(LIMIT_S):
            await reader.read()
        writer.close()
        # The lock of the store is free only when server and guard are gone, so this also waits for their end.
        async with EmbeddedServer(options(tmp_path)):
            assert await greeting(url) is None


async def test_the_next_owner_starts_at_once_after_kill_9(tmp_path: Path) -> None:
    with owner_of(tmp_path) as (owner, _):
        owner.kill()
        owner.wait()
        async with EmbeddedServer(options(tmp_path)) as server:
            assert await running(tmp_path) == server.url


async def test_a_server_left_over_without_guard_does_not_keep_the_store(tmp_path: Path) -> None:
    with owner_of(tmp_path) as (owner, url):
        reader, writer = await connect(url)
        guard = int((tmp_path / "nats.lock").read_text())
        # Held still, so that it has no time to end the server when it sees the guard die.
        os.kill(owner.pid, signal.SIGSTOP)
        await asyncio.to_thread(os.waitpid, owner.pid, os.WUNTRACED)
        os.kill(guard, signal.SIGKILL)
        owner.kill()
        owner.wait()
        assert await greeting(url) is not None
        async with EmbeddedServer(options(tmp_path)) as server:
            async with asyncio.timeout(LIMIT_S):
                await reader.read()
            assert await greeting(server.url) is not None
        writer.close()


async def test_what_a_crash_left_behind_is_not_taken_for_a_system(tmp_path: Path) -> None:
    with owner_of(tmp_path) as (owner, url):
        owner.kill()
        owner.wait()
        assert str(owner.pid) in (tmp_path / "lock").read_text()
        assert await running(tmp_path) is None
        async with EmbeddedServer(options(tmp_path)) as server:
            assert await running(tmp_path) == server.url != url


async def test_another_server_at_the_address_is_not_taken_for_the_system(tmp_path: Path) -> None:
    async with EmbeddedServer(options(tmp_path / "a")) as a, EmbeddedServer(options(tmp_path / "b")) as b:
        lock = tmp_path / "a" / "lock"
        lock.write_text(lock.read_text().replace(a.url, b.url))
        assert await running(tmp_path / "a") is None


@pytest.mark.parametrize("note", ["", "{", '{"pid": 1}', "\x00\xff"])
async def test_an_unreadable_note_is_no_system_and_no_obstacle(tmp_path: Path, note: str) -> None:
    (tmp_path / "lock").write_text(note)
    assert await running(tmp_path) is None
    async with EmbeddedServer(options(tmp_path)) as server:
        assert await running(tmp_path) == server.url
        (tmp_path / "lock").write_text(note)
        assert await running(tmp_path) is None


async def test_nothing_runs_where_there_is_no_directory(tmp_path: Path) -> None:
    assert await running(tmp_path / "absent") is None
