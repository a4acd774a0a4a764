"""The configuration file of the embedded server."""

import json
from pathlib import Path

import pytest

from stretto.bus.errors import Misconfigured
from stretto.bus.server.options import ServerOptions


def config(options: ServerOptions) -> dict[str, object]:
    parsed = json.loads(options.config(name="me", port=4222, ports_dir=options.data_dir / "ports"))
    assert isinstance(parsed, dict)
    return parsed


def test_every_write_is_synced_unless_told_otherwise(tmp_path: Path) -> None:
    store = str(tmp_path.resolve() / "nats")
    assert config(ServerOptions(data_dir=tmp_path))["jetstream"] == {"store_dir": store, "sync_interval": "always"}
    assert config(ServerOptions(data_dir=tmp_path, sync_always=False))["jetstream"] == {"store_dir": store}


def test_it_listens_on_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    assert config(ServerOptions(data_dir=tmp_path))["host"] == "127.0.0.1"


def test_a_message_limit_reaches_the_server(tmp_path: Path) -> None:
    assert config(ServerOptions(data_dir=tmp_path, max_payload_bytes=4096))["max_payload"] == 4096


@pytest.mark.parametrize("name", ["line\nbreak", "bell\x07", "lone \udcff byte"])
def test_a_name_the_server_cannot_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match="choose another name"):
        config(ServerOptions(data_dir=tmp_path / name))
