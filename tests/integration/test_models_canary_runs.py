"""Whole runs, those that go well and those whose provider repeats all that it was sent: what is asked and answered is told nowhere else."""

import json
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.client import LiveMessage, RunMessage
from stretto.bus.registry import Registry
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.request import Request
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.protocol import Document
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import Providers
from stretto.shared.tools.function import tool
from tests.integration.dialects import DIALECTS, Call, Chat, Dialect
from tests.integration.provider_server import Answer, ProviderServer
from tests.integration.world import Given, Handler, Made, World, agent_of, open_world

KEY, PROMPT, DOCUMENT, QUESTION = "sk-canary-key", "canary-prompt", "canary-document", "canary-question"
ARGUMENT, RESULT, TROUBLE = "canary-argument", "canary-result", "canary-trouble"
SECRETS = (KEY, PROMPT, DOCUMENT, QUESTION, ARGUMENT, RESULT, TROUBLE)
ECHO = " ".join(SECRETS)
FINE = Made(text="fine").model_dump_json()
ONE = """
roles: {work: works}
tasks:
  - {id: only, role: work}
answer: only
"""


@tool
async def look_up(what: str) -> str:
    """Look something up."""
    return f"{RESULT} for {what}"


@tool
async def stumble(what: str) -> str:
    """Fail."""
    raise RuntimeError(f"{TROUBLE} with {what}")


async def think(task: Given, ctx: TaskContext) -> BaseModel:
    return await _made(task, ctx, tools=False)


async def think_with_tools(task: Given, ctx: TaskContext) -> BaseModel:
    return await _made(task, ctx, tools=True)


async def _made(task: Given, ctx: TaskContext, *, tools: bool) -> Made:
    document = Document(id="d1", text=DOCUMENT)
    asked = ctx.model.generate(Made, instructions=PROMPT, question=task.request, documents=[document], tools=tools)
    return (await asked).output


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    async with open_world(nats_url, Deployment(subjects=Subjects(prefix), shards=1), tmp_path) as world:
        world.playbook("one", ONE)
        yield world


@pytest.fixture
async def server() -> AsyncGenerator[ProviderServer]:
    async with ProviderServer() as server:
        yield server


@pytest.fixture(params=DIALECTS[:2], ids=lambda one: one.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    chosen: Dialect = request.param
    return chosen


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"error": {"type": ECHO, "code": KEY, "param": ECHO, "message": ECHO}}, status=400),
        Answer({"error": {"type": ECHO, "code": KEY, "param": ECHO, "message": ECHO}}, status=401),
        Answer(ECHO),
    ],
    ids=["refused", "key refused", "garbled"],
)
async def test_a_run_that_fails_tells_nothing_of_what_was_sent(
    dialect: Dialect, server: ProviderServer, answer: Answer, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(*[answer] * 20)
    told = await run_and_listen(world, caplog, dialect, server, think)
    assert any('"failed"' in one for one in told)
    assert secrets_in(told) == []


async def test_a_run_that_goes_well_tells_nothing_of_what_was_sent(
    dialect: Dialect, server: ProviderServer, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(dialect.streams(FINE))
    told = await run_and_listen(world, caplog, dialect, server, think)
    assert any('"completed"' in one for one in told)
    sent = json.dumps([one.body for one in server.requests])
    assert all(one in sent for one in (PROMPT, DOCUMENT, QUESTION)), "it was sent, so it could be told"
    assert secrets_in(told) == []


async def test_a_run_tells_nothing_of_what_its_tools_were_given_and_gave(
    dialect: Dialect, server: ProviderServer, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = json.dumps({"what": ARGUMENT})
    calls = [Call("call_1", "look_up", arguments), Call("call_2", "stumble", arguments)]
    server.script(dialect.streams_calls(*calls), dialect.streams(FINE))
    told = await run_and_listen(world, caplog, dialect, server, think_with_tools)
    assert any('"completed"' in one for one in told)
    found, failed = (text for _, text in dialect.sent_outcomes(server.requests[-1].body))
    assert f"{RESULT} for {ARGUMENT}" in found, "it was there, so it could be told"
    assert TROUBLE not in failed, "an error that nobody foresaw is not for models"
    assert secrets_in(told) == []


async def run_and_listen(
    world: World, caplog: pytest.LogCaptureFixture, dialect: Dialect, server: ProviderServer, handler: Handler
) -> list[str]:
    """A run with this provider, and all that is told of it: live, at its end, in the registry, in dead letters and in the logs."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    api = "openai" if isinstance(dialect, Chat) else "anthropic"
    settings = {"local": ProviderSettings(api=api, base_url=server.url, key_variable="LOCAL_KEY")}
    async with Providers(settings, environment={"LOCAL_KEY": KEY}) as providers:
        chain = ModelChain(["local:m"], open_model=providers.model, breakers=Breakers())
        await world.supervise("s1")
        await world.serve(agent_of("work", handler), "w1", chain, tools=(look_up, stumble))
        run = await world.client.submit(Request(text=QUESTION, playbook="one", deadline_s=20))
        async for event in world.client.events(run):
            if isinstance(event, LiveMessage) or event.subject.kind in {"result", "answer"}:
                told.append(event.envelope.model_dump_json())
            if isinstance(event, RunMessage) and event.subject.kind == "answer":
                break
        async with Registry(connection=world.connection, subjects=world.subjects) as registry:
            await registry.wait_for("work", timeout_s=10)
            told += [card.model_dump_json() for card in registry.alive("work")]
    assert any(KEY in str(one.headers) for one in server.requests), "the key was sent, so it could be told"
    dead = await world.connection.jetstream.read(world.subjects.stream("DEAD"), f"{world.subjects.prefix}.dead.>")
    told += [str(one.data) for one in dead]
    told += [record.getMessage() + (record.exc_text or "") for record in caplog.records]
    return told


def secrets_in(told: list[str]) -> list[str]:
    """What is told and should not be."""
    return [one[:300] for one in told if any(secret in one for secret in SECRETS)]
