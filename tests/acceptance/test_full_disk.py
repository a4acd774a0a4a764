"""A full disk: nothing is acknowledged that is not stored, whoever asks is told, and with space again work goes on."""

import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import psutil
import pytest

from stretto.bus.client import Client
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.errors import Busy, TimedOut
from stretto.bus.server.binary import find_server
from stretto.bus.streams import Deployment
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.request import Request
from stretto.shared.requester import Requester
from tests.acceptance.command import HANDBOOK, LIMIT_S, Running, Stretto

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the limits of another process can be set on Linux only"
)

# A nats-server that may store little for as long as there is a file `little` beside it.
WRAPPER = """#!/bin/sh
[ "$1" = --version ] || [ ! -e {folder}/little ] || sed -i 's/"jetstream": {{/"jetstream": {{"max_file_store": 300000,/' "$2"
exec {server} "$@"
"""
BIG = "x" * 30_000
QUESTION = "When is a refund paid?"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Stretto:
    folder = tmp_path_factory.mktemp("user")
    for name in ("handbook", "other"):
        (folder / name).mkdir()
        (folder / name / "refunds.md").write_text(HANDBOOK, encoding="utf-8")
    wrapper = folder / "nats-server"
    wrapper.write_text(WRAPPER.format(folder=folder, server=find_server()), encoding="utf-8")
    wrapper.chmod(0o755)
    (folder / "little").touch()
    return Stretto(folder).with_variables(nats_server=str(wrapper), shards="1")


@pytest.fixture(scope="module")
def up(user: Stretto) -> Iterator[Running]:
    with user.start("up") as running:
        running.wait_for("ready")
        yield running


@pytest.fixture
async def requester(user: Stretto, up: Running) -> AsyncGenerator[Requester]:
    url = user.run("status", "--json").data["server"]["url"]
    async with await Connection.open(ConnectionOptions(url, timeout_s=2.0)) as connection:
        yield Requester(client=Client(connection=connection, deployment=Deployment(shards=1), answer_type=Answer))


def server_of(up: Running) -> psutil.Process:
    (server,) = [one for one in up.family() if one.name() == "nats-server"]
    return server


def fill_disk(process: psutil.Process) -> None:
    """From now on the process can make no file longer."""
    process.rlimit(psutil.RLIMIT_FSIZE, (1, psutil.RLIM_INFINITY))


def free_disk(process: psutil.Process) -> None:
    process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))


def restart_server(up: Running, seen: int) -> int:
    server_of(up).kill()
    return up.wait_for("nats-server ended", after=seen)


async def submit_until(requester: Requester, error: type[Exception], message: str) -> list[str]:
    """Submit runs that end at once until the server refuses one; return those that it acknowledged."""
    accepted: list[str] = []
    told = "nothing was refused"
    while len(accepted) < 1_000:
        try:
            accepted.append(await requester.submit(Request(text=BIG, playbook="there-is-none")))
        except error as refusal:
            told = str(refusal)
            break
    assert message in told
    return accepted


async def test_a_full_store_takes_no_more_and_keeps_what_it_took(
    user: Stretto, up: Running, requester: Requester
) -> None:
    accepted = await submit_until(requester, Busy, "free some space for the server's store and start it again")
    refused = user.run("ask", QUESTION, "-q", "--timeout", "2")
    assert (refused.code, "Traceback" in refused.err) == (3, False)
    assert "cannot store now (insufficient resources): free some space" in refused.err

    (user.folder / "little").unlink()
    restart_server(up, 0)
    assert len(accepted) > 2
    assert {(await requester.result(run, timeout_s=LIMIT_S)).state for run in accepted} == {"rejected"}
    assert user.run("ask", QUESTION, "--docs", "handbook", "-q").code == 0


async def test_a_full_disk_acknowledges_nothing_and_keeps_what_was_acknowledged(
    user: Stretto, up: Running, requester: Requester
) -> None:
    seen = up.wait_for("nats-server ended")
    before = await requester.submit(Request(text=BIG, playbook="there-is-none"))
    assert (await requester.result(before, timeout_s=LIMIT_S)).state == "rejected"
    fill_disk(server_of(up))
    accepted = await submit_until(
        requester, TimedOut, "if its disk is full, free some space and start the server again"
    )

    restart_server(up, seen)
    assert {(await requester.result(run, timeout_s=LIMIT_S)).state for run in (before, *accepted)} == {"rejected"}
    assert user.run("ask", QUESTION, "--docs", "handbook", "-q").code == 0


def test_a_full_disk_of_the_memory_is_told_and_harms_nothing_that_is_stored(user: Stretto, up: Running) -> None:
    assert user.run("memory", "add", "handbook", "-q").code == 0
    (memory,) = [one for one in up.family() if "memory" in one.cmdline() and "--owned" in one.cmdline()]
    fill_disk(memory)
    refused = user.run("memory", "add", "other", "-q")
    assert (refused.code, "Traceback" in refused.err) == (3, False)
    assert "cannot be read or written" in refused.err
    assert "check the disk's space" in refused.err
    asked = user.run("ask", QUESTION, "-q")
    assert asked.code == 0 or "check the disk's space" in asked.err

    free_disk(memory)
    assert user.run("memory", "add", "other", "-q").code == 0
    stats = user.run("memory", "stats", "--json").data
    assert {Path(root).name for root in stats["roots"]} == {"handbook", "other"}
    assert user.run("ask", QUESTION, "-q").code == 0
