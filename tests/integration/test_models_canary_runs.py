"""A whole run whose provider repeats all that it was sent in its errors: none of it is told anywhere."""

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
from tests.integration.dialects import DIALECTS
from tests.integration.provider_server import Answer, ProviderServer
from tests.integration.world import Given, Made, World, agent_of, open_world

KEY, PROMPT, DOCUMENT, QUESTION = "sk-canary-key", "canary-prompt", "canary-document", "canary-question"
CHAT = DIALECTS[1]
ECHO = f"{KEY} {PROMPT} {DOCUMENT} {QUESTION}"
ONE = """
roles: {work: works}
tasks:
  - {id: only, role: work}
answer: only
"""


async def think(task: Given, ctx: TaskContext) -> BaseModel:
    document = Document(id="d1", text=DOCUMENT)
    reply = await ctx.model.generate(Made, instructions=PROMPT, question=task.request, documents=[document])
    return reply.output


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    async with open_world(nats_url, Deployment(subjects=Subjects(prefix), shards=1), tmp_path) as world:
        world.playbook("one", ONE)
        yield world


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
    answer: Answer, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    async with ProviderServer() as server:
        server.script(*[answer] * 20)
        settings = {"local": ProviderSettings(base_url=server.url, key_variable="LOCAL_KEY")}
        async with Providers(settings, environment={"LOCAL_KEY": KEY}) as providers:
            chain = ModelChain(["local:m"], open_model=providers.model, breakers=Breakers())
            await world.supervise("s1")
            await world.serve(agent_of("work", think), "w1", chain)
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
    assert any('"failed"' in one for one in told)
    for secret in (KEY, PROMPT, DOCUMENT, QUESTION):
        assert [one[:300] for one in told if secret in one] == []
