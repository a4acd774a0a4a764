"""Whole runs, those that go well and those whose provider repeats all that it was sent: what is asked and answered is told nowhere else,
and in spans only where somebody wants it there."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus import tracing
from stretto.bus.client import LiveMessage, RunMessage
from stretto.bus.codec import encode
from stretto.bus.envelope import Envelope, new_id
from stretto.bus.registry import Registry
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.request import Request
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.protocol import Document
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import Providers
from stretto.shared.telemetry.capture import Capture, capturing
from stretto.shared.tools.function import tool
from tests.integration.dialects import DIALECTS, Call, Chat, Dialect
from tests.integration.provider_server import Answer, ProviderServer
from tests.integration.world import Given, Handler, Made, World, agent_of, open_world
from tests.spans import attributes_of, recording, texts_of

KEY, PROMPT, DOCUMENT, QUESTION = "sk-canary-key", "canary-prompt", "canary-document", "canary-question"
ARGUMENT, RESULT, TROUBLE = "canary-argument", "canary-result", "canary-trouble"
HEADER = "canary-header"
SECRETS = (KEY, PROMPT, DOCUMENT, QUESTION, ARGUMENT, RESULT, TROUBLE, HEADER)
ECHO = " ".join(SECRETS)
ECHOED = {"error": {"type": ECHO, "code": KEY, "param": ECHO, "message": ECHO}}
ECHOING = {"canary": HEADER, "request-id": f"{HEADER} of a request", "x-request-id": f"{HEADER} of a request"}
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
        Answer(ECHOED, status=400, headers=ECHOING),
        Answer(ECHOED, status=401, headers=ECHOING),
        Answer(ECHO, headers=ECHOING),
    ],
    ids=["refused", "key refused", "garbled"],
)
async def test_a_run_that_fails_tells_nothing_of_what_was_sent(
    dialect: Dialect, server: ProviderServer, answer: Answer, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(*[answer] * 20)
    with recording() as recorded:
        told = await run_and_listen(world, caplog, dialect, server, think)
    assert any('"failed"' in one for one in told)
    assert secrets_in(told) == []
    assert {attributes_of(one).get("error.type") for one in recorded.named("chat m")} & {
        "CannotDo",
        "ModelUnavailable",
        "NotConfigured",
    }
    assert secrets_in([texts_of(one) for one in recorded.spans]) == []


async def test_a_run_that_goes_well_tells_nothing_of_what_was_sent(
    dialect: Dialect, server: ProviderServer, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(dialect.streams(FINE))
    with recording() as recorded:
        told = await run_and_listen(world, caplog, dialect, server, think)
    assert any('"completed"' in one for one in told)
    sent = json.dumps([one.body for one in server.requests])
    assert all(one in sent for one in (PROMPT, DOCUMENT, QUESTION)), "it was sent, so it could be told"
    assert secrets_in(told) == []
    assert secrets_in([texts_of(one) for one in recorded.spans]) == []
    chat, agent, root = recorded.one("chat m"), recorded.one("invoke_agent work"), recorded.one("invoke_workflow one")
    assert chat.parent is not None
    assert chat.parent.span_id == agent.context.span_id
    assert chat.context.trace_id == root.context.trace_id
    assert attributes_of(chat)["stretto.task"] == "only"


async def test_a_run_tells_nothing_of_what_its_tools_were_given_and_gave(
    dialect: Dialect, server: ProviderServer, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = json.dumps({"what": ARGUMENT})
    calls = [Call("call_1", "look_up", arguments), Call("call_2", "stumble", arguments)]
    server.script(dialect.streams_calls(*calls), dialect.streams(FINE))
    with recording() as recorded:
        told = await run_and_listen(world, caplog, dialect, server, think_with_tools)
    assert any('"completed"' in one for one in told)
    found, failed = (text for _, text in dialect.sent_outcomes(server.requests[-1].body))
    assert f"{RESULT} for {ARGUMENT}" in found, "it was there, so it could be told"
    assert TROUBLE not in failed, "an error that nobody foresaw is not for models"
    assert secrets_in(told) == []
    assert attributes_of(recorded.one("execute_tool stumble"))["error.type"] == "RuntimeError"
    assert recorded.one("execute_tool look_up")
    assert secrets_in([texts_of(one) for one in recorded.spans]) == []


async def test_what_is_asked_for_stands_in_spans_and_neither_the_key_nor_a_header_does(
    dialect: Dialect, server: ProviderServer, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = json.dumps({"what": ARGUMENT})
    calls = [Call("call_1", "look_up", arguments), Call("call_2", "stumble", arguments)]
    server.script(dialect.streams_calls(*calls), dialect.streams(FINE))
    with recording() as recorded, capturing(Capture(spans=True)):
        told = await run_and_listen(world, caplog, dialect, server, think_with_tools)
    assert secrets_in(told) == [], "spans alone were asked for"
    chats = " ".join(texts_of(one) for one in recorded.named("chat m"))
    assert all(one in chats for one in (PROMPT, DOCUMENT, QUESTION, ARGUMENT, RESULT))
    look_up, stumble = recorded.one("execute_tool look_up"), recorded.one("execute_tool stumble")
    assert ARGUMENT in str(attributes_of(look_up)["gen_ai.tool.call.arguments"])
    assert RESULT in str(attributes_of(look_up)["gen_ai.tool.call.result"])
    assert "gen_ai.tool.call.result" not in attributes_of(stumble)
    never = [
        texts_of(one) for one in recorded.spans if any(secret in texts_of(one) for secret in (KEY, HEADER, TROUBLE))
    ]
    assert never == []
    others = [one for one in recorded.spans if not one.name.startswith(("chat ", "execute_tool "))]
    assert secrets_in([texts_of(one) for one in others]) == []


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
        run = await submit_with_headers(world, Request(text=QUESTION, playbook="one", deadline_s=20))
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
    for task in world.tasks:  # so that all their spans have ended
        task.cancel()
    await asyncio.gather(*world.tasks, return_exceptions=True)
    assert not any({"traceparent", "tracestate", "baggage"} & one.headers.keys() for one in server.requests)
    return told


async def submit_with_headers(world: World, request: Request) -> str:
    """As `Client.submit`, by hand, with headers that say more than they should."""
    run = new_id()
    key = world.client.key(run)
    envelope = Envelope.of(request, tenant=key.tenant, run=run, sender=world.client.principal)
    headers = {
        "traceparent": f"00-{tracing.trace_of(key.tenant, run)}-{'b' * 16}-01",
        "tracestate": f"canary={HEADER}",
        "baggage": f"canary={HEADER}",
        "Canary": HEADER,
    }
    await world.provisioned()
    subject = world.subjects.request(key, world.client.principal)
    await world.connection.jetstream.store(subject, encode(envelope), headers=headers)
    return run


def secrets_in(told: list[str]) -> list[str]:
    """What is told and should not be."""
    return [one[:300] for one in told if any(secret in one for secret in SECRETS)]
