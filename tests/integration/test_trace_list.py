"""`stretto trace list` and `--messages` on a real server: runs that real supervisors and agents did."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.agents.errors import TaskRetryable
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.cli.runs import list_runs
from stretto.cli.trace import show_messages
from stretto.cli.trace_list import State, list_traces
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.usage import Usage
from stretto.shared.settings import Settings
from tests.integration.world import Given, Made, World, agent_of, open_world

ONE = """
roles: {work: works}
tasks:
  - {id: only, role: work, max_attempts: 2}
answer: only
"""
UNSERVED = """
roles: {nobody: is never there}
tasks:
  - {id: only, role: nobody}
answer: only
"""


class Failing:
    """Fails once, then works."""

    def __init__(self) -> None:
        self.attempts = 0

    async def __call__(self, task: Given, ctx: TaskContext) -> BaseModel:
        self.attempts += 1
        if self.attempts == 1:
            raise TaskRetryable("not yet")
        return Made(text="because")


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    deployment = Deployment(subjects=Subjects(prefix), shards=2, run_lease_s=3.0, pin_s=1.5, task_lease_s=2.0)
    async with open_world(nats_url, deployment, tmp_path) as world:
        world.playbook("one", ONE)
        world.playbook("unserved", UNSERVED)
        await world.supervise("s1")
        await world.serve(agent_of("work", Failing()), "w1")
        yield world


async def test_runs_are_listed_with_what_they_took_and_told_as_they_were(
    world: World, nats_url: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(nats_url=nats_url, prefix=prefix, shards=2, tenant="default", principal="local")
    answer = await world.ask("Why is it so?", run="done", playbook="one")
    assert answer.state == "completed"
    await world.client.submit(Request(text="Who is there?", playbook="unserved"), run="open")
    capsys.readouterr()

    async def listed(state: State | None = None, **given: Any) -> list[dict[str, Any]]:
        choice = {"since": None, "slower_s": None, "playbook": None, "text": None, "limit": 20, **given}
        assert await list_traces(settings, state=state, as_json=True, **choice) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["runs"]
        return found

    newest, done = await listed()
    assert (newest["run"], newest["state"], newest["playbook"]) == ("open", "open", "")
    assert (done["run"], done["state"], done["playbook"]) == ("done", "completed", "one")
    assert (done["attempts"], done["failed_attempts"], done["usage"]) == (2, 1, Usage().model_dump(mode="json"))
    assert [run["run"] for run in await listed("completed")] == ["done"]
    assert [run["run"] for run in await listed("open")] == ["open"]
    assert await listed("waiting") == []
    assert [run["run"] for run in await listed(text="WHO", since="1h")] == ["open"]
    assert [run["run"] for run in await listed(playbook="one", limit=1)] == ["done"]

    assert await list_runs(settings, limit=20, as_json=True) == 0
    assert [run["run"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["open", "done"]

    assert await show_messages(settings, "done", full=False) == 0
    heads = [line.split("  ")[2] for line in capsys.readouterr().out.splitlines() if line[:1].isdigit()]
    assert heads == [
        "request: local to supervisor",
        "decision: supervisor to all",
        "failure of only: work w1 to supervisor",
        "time to try again: the clock to supervisor",
        "result of only, attempt 2: work w1 to supervisor",
        "answer: supervisor to local",
    ]
