"""docs/protocol.md, followed by hand: the bytes that its `nats` commands send, sent by a plain client to a real system."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncGenerator
from itertools import pairwise
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client as Nats
from nats.js.errors import APIError

from stretto.agents.context import TaskContext
from stretto.bus.registry import Registry
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.request import Request
from tests.integration.world import Given, Made, World, agent_of, open_world

DOC = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
WAITING = """
roles: {wait: waits}
tasks:
  - {id: only, role: wait}
answer: only
"""
_WRONG_LAST_SEQUENCE = 10071


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    """A supervisor; nobody serves the role of the one task, so that a run is there to be cancelled."""
    async with open_world(nats_url, Deployment(subjects=Subjects(prefix), shards=1), tmp_path) as world:
        world.playbook("brief", WAITING)
        await world.supervise("s1")
        yield world


@pytest.fixture
async def plain(nats_url: str) -> AsyncGenerator[Nats]:
    client = await nats.connect(nats_url)
    yield client
    await client.close()


def published(what: str, prefix: str) -> tuple[str, bytes, dict[str, str]]:
    """Subject, body and headers of the documented `nats pub` on a subject with `what` in it."""
    (command,) = [
        words
        for words in (
            shlex.split(one) for one in re.findall(r"^nats pub --jetstream (?:.*\\\n)*.*$", DOC, re.MULTILINE)
        )
        if what in words[3]
    ]
    subject, body = command[3], command[-1]
    headers = [words.partition(":") for option, words in pairwise(command) if option == "-H"]
    here = {name: value.replace("stretto.", f"{prefix}.") for name, _, value in headers}
    return subject.replace("stretto.", f"{prefix}."), body.encode(), here


async def test_a_run_begun_watched_cancelled_and_read_by_hand(world: World, plain: Nats, prefix: str) -> None:
    subject, request, headers = published(".request.", prefix)
    run = subject.removesuffix(".request.local")
    log = run.replace(".run.", ".log.")
    watched = await plain.subscribe(f"{log}.>")
    await plain.flush()
    await supervisor_is_there(world)
    js = plain.jetstream()

    await js.publish(subject, request, headers=headers)
    with pytest.raises(APIError) as refused:
        await js.publish(subject, request, headers=headers)
    assert refused.value.err_code == _WRONG_LAST_SEQUENCE

    command_subject, command, _ = published(".cancel-1", prefix)
    await js.publish(command_subject, command)
    seen: list[str] = []
    while "answer" not in seen:
        seen.append((await watched.next_msg(timeout=20)).subject.removeprefix(f"{log}."))
    assert seen[0] == "request.local"
    assert "command.local.cancel-1" in seen

    stored = await js.get_last_msg(f"{prefix.upper()}_RUNS_0", f"{run}.answer")
    assert stored.data is not None
    answer = Answer.model_validate(translated(stored.data)["body"])
    assert answer.state == "cancelled"


async def test_what_a_run_asks_is_decided_by_hand_once(world: World, plain: Nats, prefix: str) -> None:
    async def ask(task: Given, ctx: TaskContext) -> Made:
        return Made(text=(await ctx.ask_human("Shall it be?", kind="approval")).outcome)

    await supervisor_is_there(world)
    await world.serve(agent_of("wait", ask), "w1")
    subject, _, _ = published(".request.", prefix)
    run = subject.split(".")[4]
    await world.client.submit(Request(text="why?"), run=run)
    (question,) = await world.asked(run)

    subject, command, headers = published(".command.local.q-", prefix)
    documented = subject.rpartition(".")[2]
    subject = subject.replace(documented, question.id)
    headers = {name: value.replace(documented, question.id) for name, value in headers.items()}
    command = command.replace(documented.encode(), question.id.encode())
    js = plain.jetstream()
    await js.publish(subject, command, headers=headers)
    with pytest.raises(APIError) as refused:
        await js.publish(subject.replace(".local.", ".somebody."), command, headers=headers)
    assert refused.value.err_code == _WRONG_LAST_SEQUENCE

    assert (await world.answer(run)).text == "approved"


async def supervisor_is_there(world: World) -> None:
    async with Registry(connection=world.connection, subjects=world.deployment.subjects) as registry:
        assert await registry.wait_for("supervisor", timeout_s=20)


def translated(data: bytes) -> dict[str, object]:
    """What the documented `--translate` command makes of a message."""
    found = re.search(r'--translate "(python3 .*)"$', DOC, re.MULTILINE)
    assert found is not None
    command = [sys.executable, *shlex.split(found[1])[1:]]
    ran = subprocess.run(command, input=data, capture_output=True, check=True, timeout=30)
    return dict(json.loads(ran.stdout))
