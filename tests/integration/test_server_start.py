"""Starting the embedded server: where it works, and what is said where it cannot."""

import asyncio
import os
import socket
from pathlib import Path

import nats
import pytest

from stretto.bus.errors import Misconfigured
from stretto.bus.server import EmbeddedServer, ServerOptions, running
from stretto.bus.server.lock import held_note
from stretto.bus.server.probe import greeting


def options(data_dir: Path, port: int = -1) -> ServerOptions:
    return ServerOptions(data_dir=data_dir, port=port, sync_always=False)


async def store_one(url: str) -> None:
    async with await nats.connect(url) as connection:
        await connection.jetstream().add_stream(name="KEPT", subjects=["kept.>"])
        await connection.jetstream().publish("kept.a", b"a")


async def test_two_directories_run_side_by_side_on_free_ports(tmp_path: Path) -> None:
    async with EmbeddedServer(options(tmp_path / "a")) as a, EmbeddedServer(options(tmp_path / "b")) as b:
        await store_one(a.url)
        await store_one(b.url)
        assert a.url != b.url


async def test_nothing_answers_after_stop_and_stop_may_be_called_twice(tmp_path: Path) -> None:
    server = EmbeddedServer(options(tmp_path))
    await server.start()
    url = server.url
    await server.stop()
    await server.stop()
    assert await greeting(url) is None
    assert await running(tmp_path) is None


async def test_a_stopped_server_can_be_started_again(tmp_path: Path) -> None:
    server = EmbeddedServer(options(tmp_path))
    async with server:
        await store_one(server.url)
    async with server, await nats.connect(server.url) as connection:
        assert (await connection.jetstream().stream_info("KEPT")).state.messages == 1


async def test_any_printable_directory_name_works(tmp_path: Path) -> None:
    data_dir = tmp_path / """it's "é" $HOME \\x41 # {a: 1}"""
    async with EmbeddedServer(options(data_dir)) as server:
        await store_one(server.url)
    assert (data_dir / "nats" / "jetstream").is_dir()


async def test_a_message_over_the_limit_is_refused_by_the_server(tmp_path: Path) -> None:
    limited = ServerOptions(data_dir=tmp_path, max_payload_bytes=4096)
    async with EmbeddedServer(limited) as server, await nats.connect(server.url) as connection:
        assert connection.max_payload == 4096


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"port {port} on 127.0.0.1 is in use"):
            await EmbeddedServer(options(tmp_path, port)).start()
    # A failed start lets go of everything: the same directory and port work as soon as the port is free.
    async with EmbeddedServer(options(tmp_path, port)) as server:
        assert server.url == f"nats://127.0.0.1:{port}"


@pytest.mark.parametrize("below", [".", "deeper"])
async def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path, below: str) -> None:
    data_dir = tmp_path / "file" / below
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match=r"file.* cannot be used: (File exists|Not a directory)"):
        await EmbeddedServer(options(data_dir)).start()


async def test_a_file_in_the_place_of_the_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "nats").touch()
    with pytest.raises(Misconfigured, match=r"the store in .*nats cannot be used"):
        await EmbeddedServer(options(tmp_path)).start()


async def test_a_damaged_stream_is_refused_rather_than_left_out(tmp_path: Path) -> None:
    async with EmbeddedServer(options(tmp_path)) as server:
        await store_one(server.url)
    (metafile,) = (tmp_path / "nats").glob("**/streams/KEPT/meta.inf")
    whole = metafile.read_bytes()
    metafile.write_bytes(b"garbage")
    with pytest.raises(Misconfigured, match=r"a stream in .* is damaged: .*KEPT"):
        await EmbeddedServer(options(tmp_path)).start()
    # Refusing it has not made it worse.
    metafile.write_bytes(whole)
    async with EmbeddedServer(options(tmp_path)) as server, await nats.connect(server.url) as connection:
        assert (await connection.jetstream().stream_info("KEPT")).state.messages == 1


def never_ready(tmp_path: Path, first: str = ":") -> Path:
    """A program that passes for a new nats-server, does `first`, and then nothing."""
    program = tmp_path / "idle"
    version = '[ "$1" = --version ] && echo nats-server: v2.15.1 && exit'
    program.write_text(f"#!/bin/sh\n{version}\n{first}\nexec sleep 60\n")
    program.chmod(0o755)
    return program


async def test_a_server_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    slow = ServerOptions(data_dir=tmp_path / "data", binary=never_ready(tmp_path), start_limit_s=0.3)
    with pytest.raises(Misconfigured, match=r"not ready after 0\.3 s"):
        await EmbeddedServer(slow).start()


async def test_a_cancelled_start_leaves_nothing_behind(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    data_dir = tmp_path / "data"
    binary = never_ready(tmp_path, first=f'echo yes > "{alive}"')
    starting = asyncio.create_task(EmbeddedServer(ServerOptions(data_dir=data_dir, binary=binary)).start())
    assert await asyncio.to_thread(alive.read_text) == "yes\n"
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert held_note(data_dir / "lock") is None
    assert held_note(data_dir / "nats.lock") is None
    async with EmbeddedServer(options(data_dir)) as server:
        await store_one(server.url)
