"""The example of a ticket desk: the commands of its README, and exactly one ticket however the agent dies."""

import contextlib
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from stretto.bus.failpoints import VARIABLE
from tests.acceptance.command import Stretto

EXAMPLE = Path(__file__).parents[2] / "examples" / "desk"
ASKED = "May I bring my dog to the shop?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example, where `python` is the one that runs the tests."""
    folder = tmp_path / "desk"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
    return folder


def tickets(folder: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(folder / "desk.db")) as database:
        return database.execute("SELECT title, body FROM ticket").fetchall()


def test_the_commands_of_the_readme_open_the_ticket_that_it_shows(folder: Path) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    # Whatever goes wrong, nothing is left behind.
    commands = "trap 'kill %1 2>/dev/null || true; stretto down 2>/dev/null || true' EXIT\n" + "\n".join(
        re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    )
    promised = re.findall(r"^> (.+)$", readme, re.MULTILINE)

    # -m: `kill %1` needs job control, which a terminal has and a script has not.
    done = subprocess.run(
        ["bash", "-m", "-e", "-c", commands],
        cwd=folder,
        env=Stretto(folder).environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr + done.stdout
    assert promised
    for line in promised:
        assert line in done.stdout.splitlines()
    assert len(tickets(folder)) == 1


@pytest.mark.parametrize(
    "point",
    [pytest.param("agent.step.before_call=kill@2", marks=pytest.mark.slow), "agent.step.before_record=kill@2"],
)
def test_an_agent_that_dies_between_intent_and_record_opens_one_ticket(point: str, folder: Path) -> None:
    user = Stretto(folder, {VARIABLE: point}).with_variables(task_lease_s="1", role_wait_s="60")
    (folder / "playbooks" / "decide.yaml").write_text(
        "name: decide\ndescription: hands everything to a person\ntasks:\n  - {id: decide, role: escalation}\nanswer: decide\n",
        encoding="utf-8",
    )
    with user.start("up") as up:
        up.wait_for("ready")
        asked = user.run("ask", ASKED, "--playbook", "decide", "--json", "-q")
        assert asked.code == 4, asked.err
        up.wait_for(r"escalation.*(killed|SIGKILL|-9|signal)")
        (question,) = asked.data["questions"]
        ((title, body),) = tickets(folder)
        assert title == ASKED
        assert "There is no answer yet." in body
        assert "The ticket for it: 1." in question["summary"]
        assert user.run("inbox", "answer", question["id"], "No, sorry.").code == 0
        answered = user.run("runs", "wait", asked.data["run"], "--json", "-q")
    assert (answered.code, answered.data["text"]) == (0, "No, sorry.")
    assert answered.data["escalation"]["ticket"] == "1"
    assert len(tickets(folder)) == 1, "nor did the answer open another"


def test_without_its_desk_the_agent_says_what_is_wrong(folder: Path) -> None:
    settings = (folder / "stretto.toml").read_text(encoding="utf-8")
    (folder / "stretto.toml").write_text(settings.replace('"desk", "desk.db"', '"no_desk"'), encoding="utf-8")
    asked = Stretto(folder).run("ask", ASKED, "--docs", "handbook", "-q")

    assert asked.code == 3
    assert "MCP server desk cannot be reached" in asked.err
    assert "No module named no_desk" in asked.err
