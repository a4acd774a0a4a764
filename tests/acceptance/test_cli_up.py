"""`stretto up` and the commands that look at a running system."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.command import HANDBOOK, Running, Stretto, wait_until

ROLES = {"escalation", "memory", "planner", "researcher", "reviewer", "supervisor", "writer"}


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Stretto:
    folder = tmp_path_factory.mktemp("user")
    (folder / "handbook").mkdir()
    (folder / "handbook" / "refunds.md").write_text(HANDBOOK, encoding="utf-8")
    return Stretto(folder)


@pytest.fixture(scope="module")
def up(user: Stretto) -> Iterator[Running]:
    """A system that is up, for the whole module; the last test stops it."""
    with user.start("up") as running:
        running.wait_for("ready")
        yield running


def part(up: Running, word: str) -> psutil.Process:
    """The process of one part."""
    (found,) = [one for one in up.family() if word in one.cmdline() and "--owned" in one.cmdline()]
    return found


def test_status_shows_every_role(user: Stretto, up: Running) -> None:
    status = user.run("status", "--json").data

    assert set(status["roles"]) == ROLES
    assert all(len(role["instances"]) == 1 for role in status["roles"].values())
    assert status["open_runs"] == 0
    assert [stream for stream in status["streams"] if "problem" in stream] == []
    assert "researcher" in user.run("status").out
    agents = user.run("agent", "list", "--json").data["agents"]
    assert {agent["role"] for agent in agents} == ROLES - {"memory", "supervisor"}


def test_the_running_system_is_used(user: Stretto, up: Running) -> None:
    parts = {process.pid for process in up.family()}
    added = user.run("memory", "add", "handbook", "--json", "-q")
    assert added.data["roots"][0]["added"] == 1
    assert user.run("memory", "stats", "--json").data["passages"] == 2

    asked = user.run("ask", "When is a refund paid?", "--json")
    assert asked.data["citations"][0]["source"] == "handbook/refunds.md"
    assert "no system is running" not in asked.err
    assert {process.pid for process in up.family()} == parts

    shown = user.run("runs", "show", asked.data["run"], "--json").data
    assert [fact["kind"] for fact in shown["log"]][:2] == ["request", "decision"]
    assert shown["answer"]["text"] == asked.data["text"]
    assert user.run("memory", "forget", "--all", "--json").data == {"forgotten": 2}


def test_a_second_system_on_the_same_data_is_refused(user: Stretto, up: Running) -> None:
    second = user.run("up")

    assert second.code == 3
    assert f"process {up.process.pid} runs a system on" in second.err
    assert user.run("healthcheck", "memory").code == 0


def test_what_dies_is_started_again(user: Stretto, up: Running) -> None:
    writer, (server,) = part(up, "writer"), [one for one in up.family() if one.name() == "nats-server"]
    writer.kill()
    server.kill()
    up.wait_for("writer ended: killed by signal 9")
    up.wait_for("nats-server ended")

    # Its last heartbeat may still count; the new one announces itself beside it.
    def has_a_new_writer() -> bool:
        listed = user.run("agent", "list", "--json")
        agents = listed.data["agents"] if listed.code == 0 else []
        return any(one["role"] == "writer" and f"-{writer.pid}-" not in one["instance"] for one in agents)

    wait_until(has_a_new_writer, "a new writer has announced itself")
    assert user.run("ask", "When is a refund paid?", "--docs", "handbook", "-q").code == 0
    assert user.run("doctor").code == 0


def test_down_stops_it_all(user: Stretto, up: Running) -> None:
    family = up.family()
    down = user.run("down")

    assert down.code == 0, down.err
    assert up.process.wait(timeout=20) == 0
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
    assert user.run("down").code == 3
    assert user.run("status", "--json").data["error"]["kind"] == "NotReachable"


def test_a_part_ends_with_its_owner(tmp_path: Path) -> None:
    with Stretto(tmp_path).start("up") as up:
        up.wait_for("stretto is up")
        wait_until(
            lambda: len([one for one in up.family() if "--owned" in one.cmdline()]) == 6, "six parts are started"
        )
        family = up.family()
        up.process.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=20)

    assert not alive
