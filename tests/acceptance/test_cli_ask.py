"""`stretto ask` as a person meets it: real processes, real documents, signals, and a server that is killed."""

import os
import signal
import subprocess

import psutil
import pytest

from tests.acceptance.command import HANDBOOK, STRETTO, Stretto, wait_until

WAITS_FOR_NOBODY = """
name: stuck
description: waits for a role that nobody serves
roles: {nobody: does not exist}
tasks:
  - {id: find, role: researcher}
  - {id: stuck, role: nobody, inputs: {findings: [find]}}
answer: stuck
"""

QUOTE = "A refund is paid within fourteen days after the returned goods have arrived at the warehouse."


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Stretto:
    """Somebody with a handbook, and a playbook of his own."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "handbook").mkdir()
    (folder / "handbook" / "refunds.md").write_text(HANDBOOK, encoding="utf-8")
    (folder / "playbooks").mkdir()
    (folder / "playbooks" / "stuck.yaml").write_text(WAITS_FOR_NOBODY, encoding="utf-8")
    return Stretto(folder).with_variables(playbooks='["playbooks"]', role_wait_s="600")


def test_a_question_gets_an_answer_with_its_sources(user: Stretto) -> None:
    ran = user.run("ask", "When is a refund paid?", "--docs", "handbook")

    assert ran.code == 0, ran.err
    text, _, sources = ran.out.partition("\n\nSources:\n")
    assert text == f"{QUOTE} [1]"
    assert "[1] handbook/refunds.md, Refunds > Deadline" in sources
    assert f'"{QUOTE}"' in sources
    assert "draft (writer-" in ran.err, "the plan is shown while it works"
    assert not list_processes(user), "its system ends with the question"


def test_json_is_one_object_with_everything_in_it(user: Stretto) -> None:
    ran = user.run("ask", "When is a refund paid?", "--docs", "handbook", "--json", "--quiet", "--run-id", "my-run")

    assert (ran.code, ran.err) == (0, "")
    answer = ran.data
    assert answer["run"] == "my-run"
    assert answer["state"] == "completed"
    assert answer["text"] == f"{QUOTE} [1]"
    assert answer["citations"] == [
        {"number": 1, "source": "handbook/refunds.md", "place": "Refunds > Deadline, line 5", "quote": QUOTE}
    ]
    assert answer["review"]["verdict"] == "approve"
    assert 0 < answer["confidence"] <= 1
    assert answer["usage"]["model_calls"] == 4
    assert answer["cost_usd"] == 0
    done = {task["task"]: task for task in answer["tasks"] if task["state"] == "succeeded"}
    assert {task: one["role"] for task, one in done.items()} == {
        "direct": "researcher",
        "context": "researcher",
        "draft": "writer",
        "review": "reviewer",
    }
    assert all(one["agent"].startswith(one["role"]) and one["seconds"] > 0 for one in done.values())

    listed = user.run("runs", "list", "--json").data["runs"]
    assert [run["state"] for run in listed if run["run"] == "my-run"] == ["completed"]
    other = user.run("ask", "Something else?", "--run-id", "my-run", "--json", "-q")
    assert (other.code, other.data["error"]["kind"]) == (2, "RunExists")


def test_whoever_stops_reading_gets_no_traceback(user: Stretto) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as output:
        words = ("ask", "When is a refund paid?", "--docs", "handbook", "--quiet")
        done = subprocess.run(
            [STRETTO, *words], env=user.environment, cwd=user.folder, stdout=output, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_control_c_cancels_the_run_although_the_server_died_before(user: Stretto) -> None:
    with user.start("ask", "When?", "--docs", "handbook", "--playbook", "stuck", "--json") as asking:
        asking.wait_for("nobody serves nobody")
        (server,) = [one for one in asking.family() if one.name() == "nats-server"]
        server.kill()
        asking.wait_for("started again")
        asking.process.send_signal(signal.SIGINT)
        ran = asking.end()

    assert ran.code == 1
    assert ran.data["state"] == "cancelled"
    assert {task["task"]: task["state"] for task in ran.data["tasks"]} == {"find": "succeeded", "stuck": "skipped"}
    assert not list_processes(user)


def test_nothing_outlives_a_killed_command(user: Stretto) -> None:
    with user.start("ask", "When?", "--docs", "handbook", "--playbook", "stuck") as asking:
        asking.wait_for("nobody serves nobody")
        family = asking.family()
        assert len(family) >= 4, "memory, team, the server and its guard"
        asking.process.kill()
        _, alive = psutil.wait_procs(family, timeout=20)

    assert not alive


def test_a_run_goes_on_when_the_system_of_another_question_ends(user: Stretto) -> None:
    with user.start("ask", "When?", "--docs", "handbook", "--playbook", "stuck") as first:
        first.wait_for("nobody serves nobody")
        with user.start(
            "ask", "When is a refund paid?", "--docs", "handbook", "--playbook", "stuck", "--json"
        ) as second:
            second.wait_for("nobody serves nobody")
            first.process.send_signal(signal.SIGTERM)
            assert first.end().code == 1
            there = second.wait_for("has stopped")
            second.wait_for("nobody serves nobody", after=there)
            second.process.send_signal(signal.SIGINT)
            ran = second.end()

    assert (ran.code, ran.data["state"]) == (1, "cancelled")
    find = next(task for task in ran.data["tasks"] if task["task"] == "find")
    assert find["attempts"] == 1, "what was done is not done again"


def list_processes(user: Stretto) -> list[str]:
    """The processes that work for this user, once those that are ending have ended."""

    def found() -> list[str]:
        ours: list[str] = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("STRETTO_DATA_DIR") == str(user.data_dir) and process.pid != os.getpid():
                    ours.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return ours

    wait_until(lambda: not found(), "no process is left")
    return found()
