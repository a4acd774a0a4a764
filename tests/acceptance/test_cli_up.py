"""`stretto up` and the commands that look at a running system."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.command import HANDBOOK, Running, Stretto, wait_until

FOR_A_PERSON = """
name: decide
description: hands everything to a person
tasks:
  - {id: decide, role: escalation}
answer: decide
"""
STUCK = """
name: stuck
description: waits for a role that nobody serves
roles: {nobody: does not exist}
tasks:
  - {id: stuck, role: nobody}
answer: stuck
"""
ROLES = {"escalation", "memory", "planner", "researcher", "reviewer", "supervisor", "writer"}


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Stretto:
    folder = tmp_path_factory.mktemp("user")
    (folder / "handbook").mkdir()
    (folder / "handbook" / "refunds.md").write_text(HANDBOOK, encoding="utf-8")
    (folder / "playbooks").mkdir()
    (folder / "playbooks" / "decide.yaml").write_text(FOR_A_PERSON, encoding="utf-8")
    (folder / "playbooks" / "stuck.yaml").write_text(STUCK, encoding="utf-8")
    return Stretto(folder).with_variables(playbooks='["playbooks"]')


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


def test_what_the_documents_do_not_say_is_said_to_be_missing(user: Stretto, up: Running) -> None:
    ran = user.run("ask", "Who won the chess championship in 1972?", "--docs", "handbook", "--json", "-q")

    assert ran.code == 0
    assert ran.data["answered"] is False
    assert ran.data["text"].startswith("Not found in the documents.")
    assert ran.data["citations"] == []


def test_an_open_question_for_a_person_has_an_exit_code_of_its_own(user: Stretto, up: Running) -> None:
    ran = user.run("ask", "Shall we refund this?", "--playbook", "decide", "--json", "-q")

    assert ran.code == 4, ran.err
    assert ran.data["state"] == "waiting"
    (question,) = ran.data["questions"]
    assert user.run("ask", "Shall we refund this?", "--playbook", "decide", "-q").out.startswith(question["text"])


def test_an_unknown_playbook_is_rejected_with_those_there_are(user: Stretto, up: Running) -> None:
    ran = user.run("ask", "why?", "--playbook", "breif", "--json", "-q")

    assert (ran.code, ran.data["state"]) == (1, "rejected")
    assert "there is no playbook 'breif': use one of brief, decide, digest, stuck" in ran.err


def test_a_run_that_takes_too_long_fails_at_its_limit(user: Stretto, up: Running) -> None:
    ran = user.run("ask", "why?", "--playbook", "stuck", "--timeout", "1.5", "--json", "-q")

    assert (ran.code, ran.data["state"]) == (1, "failed")
    assert "not finished within 1.5 s" in ran.data["reason"]


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
