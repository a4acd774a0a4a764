"""The logs of real processes, whose stderr is no terminal: JSON lines and nothing else, with ids, and with nothing that was asked."""

import json
import shutil
from pathlib import Path
from typing import Any

from stretto.bus.tracing import trace_of
from tests.acceptance import stumbling_agents
from tests.acceptance.command import Ran, Stretto, wait_until

CANARY = "canary-0b9e"
PLAYBOOK = """
name: stumble
description: one task that fails
roles: {stumbler: fails}
tasks:
  - {id: work, role: stumbler, inputs: {request: request}}
answer: work
"""


def records(ran: Ran) -> list[dict[str, Any]]:
    """What stands on stderr: JSON lines only."""
    return [json.loads(line) for line in ran.err.splitlines()]


def test_an_agent_that_fails_is_told_in_json_lines_with_ids_and_without_what_it_was_asked(
    nats_url: str, prefix: str, tmp_path: Path
) -> None:
    user = Stretto(tmp_path).with_variables(
        nats_url=nats_url, prefix=prefix, playbooks='["playbooks"]', grace_s="1", log_level="DEBUG"
    )
    shutil.copy(stumbling_agents.__file__, tmp_path / "stumbling_agents.py")
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "stumble.yaml").write_text(PLAYBOOK, encoding="utf-8")
    with (
        user.start("supervisor", "run") as supervisor,
        user.start("agent", "run", "stumbling_agents:Stumbler") as agent,
    ):
        wait_until(
            lambda: {one["role"] for one in user.run("agent", "list", "--json").data["agents"]} >= {"stumbler"},
            "the agent is there",
        )
        asked = user.run("ask", CANARY, "--playbook", "stumble", "--json", "-q", "--run-id", "r-logs")
        assert asked.code == 1, asked.err
        agent.process.terminate()
        supervisor.process.terminate()
        told, conducted = agent.end(), supervisor.end()

    assert CANARY not in told.err + conducted.err
    assert records(conducted)
    found = records(told)
    failed = next(one for one in found if one["logger"] == "stretto.agents.attempt")
    assert failed["error"]["type"] == "RuntimeError"
    assert failed["error"]["causes"][0]["type"] == "ValueError"
    assert "stumbling_agents.py" in failed["error"]["traceback"][-1]
    assert failed["service"] == "stretto-stumbler"
    assert failed["instance"].startswith("stumbler-")
    expected = {
        "run": "r-logs",
        "role": "stumbler",
        "task": "work",
        "attempt": 1,
        "trace_id": trace_of("default", "r-logs"),
    }
    assert {name: failed.get(name) for name in expected} == expected
    assert failed["span_id"]
    said = {one["message"] for one in found}
    assert {"a thread ended by what nobody foresaw", "Task exception was never retrieved"} <= said
    assert any(one["logger"] == "py.warnings" and one["message"].endswith(": UserWarning") for one in found)


def test_a_service_that_cannot_start_says_why_in_a_record(tmp_path: Path) -> None:
    refused = Stretto(tmp_path).run("agent", "run", "nothing:Here")
    (record,) = records(refused)
    assert (refused.code, record["level"]) == (2, "CRITICAL")
    assert "nothing" in record["message"]


def test_people_may_have_their_lines_in_a_file_too(tmp_path: Path) -> None:
    refused = Stretto(tmp_path).with_variables(log_format="text").run("agent", "run", "nothing:Here")
    assert refused.err.startswith("stretto: ")
