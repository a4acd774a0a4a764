"""`stretto top` against real systems: once, for programs, and live in a terminal, where it outlives the server."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
import termios
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from stretto.bus.server import EmbeddedServer, ServerOptions
from tests.acceptance.command import STRETTO, Ran, Stretto, wait_until

_LIMIT_S = 30.0
_HOME = "\x1b[H"
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def test_it_is_printed_once_for_people_and_for_programs(nats_url: str, prefix: str, tmp_path: Path) -> None:
    user = Stretto(tmp_path).with_variables(nats_url=nats_url, prefix=prefix)
    missing = user.run("top", "--once")
    assert (missing.code, "is a supervisor running for this prefix?" in missing.err) == (3, True)
    with user.start("supervisor", "run"):
        found: list[Ran] = []

        def is_served() -> bool:
            found.append(user.run("top", "--json"))
            return found[-1].code == 0 and bool(found[-1].data["agents"])

        wait_until(is_served, "a supervisor is there")
        data, shown = found[-1].data, user.run("top", "--once")
    alive = {one["role"]: one["alive"] for one in data["roles"]}
    assert {role for role, processes in alive.items() if processes} == {"supervisor", "planner"}
    assert data["runs"] == {"open": 0, "in_flight": 0, "backlog": 0, "parked": 0}
    assert data["dead_letters"] == 0
    lines = shown.out.splitlines()
    assert shown.code == 0
    assert f"prefix {prefix}" in lines[0]
    assert [line.split()[:2] for line in lines if line.startswith(("planner ", "supervisor "))] == [
        ["planner", "1"],
        ["supervisor", "1"],
    ]
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in shown.out


class Terminal:
    """A terminal of 80 by 24 with `stretto top` in it."""

    def __init__(self, process: subprocess.Popen[bytes], number: int) -> None:
        self.process = process
        self._number = number
        self._seen = ""

    async def until(self, *, there: str, gone: str = "") -> str:
        """Wait for a drawing that has `there` in it, and `gone` not."""
        async with asyncio.timeout(_LIMIT_S):
            while True:
                whole, _, rest = self._seen.rpartition(_HOME)
                drawing = _ESCAPE.sub("", whole.rpartition(_HOME)[2])
                if there in drawing and (not gone or gone not in drawing):
                    self._seen = _HOME + rest
                    return drawing
                self._seen += (await asyncio.to_thread(os.read, self._number, 65_536)).decode(errors="replace")

    def press(self, key: bytes) -> None:
        os.write(self._number, key)


@contextlib.contextmanager
def terminal(user: Stretto) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    before = termios.tcgetattr(theirs)
    with subprocess.Popen(
        [STRETTO, "top", "--interval", "0.5"],
        env=user.environment | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        try:
            yield Terminal(process, ours)
            assert termios.tcgetattr(theirs) == before
        finally:
            process.kill()
            os.close(theirs)
            os.close(ours)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[EmbeddedServer]:
    async with EmbeddedServer(ServerOptions(data_dir=tmp_path / "data", stop_limit_s=0.5)) as started:
        yield started


async def test_the_live_screen_outlives_the_server_and_ends_with_q(server: EmbeddedServer, tmp_path: Path) -> None:
    user = Stretto(tmp_path).with_variables(nats_url=server.url)
    with terminal(user) as screen:
        await screen.until(there="is a supervisor running for this prefix?")
        with user.start("supervisor", "run"):
            drawn = await screen.until(there="planner-")
            assert len(drawn.split("\r\n")) <= 24
            (ports,) = (server.log.parent / "ports").glob("*.ports")
            os.kill(int(ports.stem.rpartition("_")[2]), signal.SIGKILL)
            await screen.until(there="no NATS server answers")
            await server.restart()
            await screen.until(there="planner-", gone="no NATS server answers")
        screen.press(b"q")
        assert await asyncio.to_thread(screen.process.wait, _LIMIT_S) == 0
