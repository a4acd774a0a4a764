"""What the last words of a nats-server mean."""

import re
from pathlib import Path

import pytest

from stretto.bus.server.log import damage, why_not_started
from stretto.bus.server.options import ServerOptions


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (
            'Error listening on port: 127.0.0.1:4222, "listen tcp: bind: address already in use"',
            "port 4222 .* is in use",
        ),
        ('Error listening on port: 10.9.9.9:0, "bind: cannot assign requested address"', "no address of this machine"),
        ('Error listening on port: 127.0.0.1:80, "listen tcp: bind: permission denied"', "above 1023"),
        ("Can't start JetStream: could not create storage directory - permission denied", "may not write below"),
        ("Can't start JetStream: mkdir: no space left on device", "is full"),
        ("Can't start JetStream: storage directory is not a directory", "move it away"),
        ("something nobody has seen before", "did not start"),
    ],
)
def test_the_fatal_line_is_explained_and_quoted(tmp_path: Path, words: str, cause: str) -> None:
    log = tmp_path / "nats.log"
    log.write_text(f"[1] 2026/01/01 00:00:00.000000 [INF] Starting\n[1] 2026/01/01 00:00:00.000001 [FTL] {words}\n\n")
    said = why_not_started(log, ServerOptions(data_dir=tmp_path), 4222)
    assert words in said
    assert re.search(cause, said.partition(" (nats-server: ")[0])


def test_a_server_that_said_nothing_is_reported_too(tmp_path: Path) -> None:
    log = tmp_path / "nats.log"
    log.touch()
    assert "it said nothing" in why_not_started(log, ServerOptions(data_dir=tmp_path), 4222)


def test_the_traces_of_a_killed_server_are_no_damage(tmp_path: Path) -> None:
    log = tmp_path / "nats.log"
    log.write_text(
        "[1] 2026/01/01 00:00:00.000000 [WRN]   Missing stream metafile for /data/x/meta.inf\n"
        "[1] 2026/01/01 00:00:00.000000 [WRN] Filestore [S] Stream state outdated, will rebuild\n"
    )
    assert damage(log) is None
