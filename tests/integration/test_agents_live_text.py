"""What a model writes is with the requester while it is being written, and the tools that it asks for are called."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.bus.client import LiveMessage
from stretto.bus.envelope import open_envelope
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.request import Request
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import Providers
from stretto.shared.tools.function import tool
from tests.integration.dialects import DIALECTS, Call
from tests.integration.provider_server import ProviderServer
from tests.integration.world import LIMIT_S, Given, World, agent_of, open_world

CHAT = DIALECTS[1]
ONE = """
roles: {work: works}
tasks:
  - {id: only, role: work}
answer: only
"""


class Line(BaseModel):
    text: str = ""


@tool
async def weather(place: str) -> str:
    """The weather."""
    return f"It rains in {place}."


async def think(task: Given, ctx: TaskContext) -> BaseModel:
    reply = await ctx.model.generate(Line, instructions="Say it.", question=task.request, tools=True)
    return Line(text=reply.output.text)


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    deployment = Deployment(subjects=Subjects(prefix), shards=1)
    async with open_world(nats_url, deployment, tmp_path) as world:
        world.playbook("one", ONE)
        yield world


async def test_a_requester_reads_along(world: World) -> None:
    rest = asyncio.Event()
    _, first, second, end = CHAT.events(['{"text": "It rains', ' in Rome."}'])
    async with ProviderServer() as server, Providers({"local": ProviderSettings(base_url=server.url)}) as providers:
        server.script(
            CHAT.streams_calls(Call("call_1", "weather", '{"place": "Rome"}')),
            CHAT.streams_parts(first, rest, second, end),
        )
        await world.supervise("supervisor-1")
        await world.serve(agent_of("work", think, Line), "work-1", providers.model("local:m"), tools=[weather])
        run = await world.client.submit(Request(text="Weather?", playbook="one"))
        told: list[Progress] = []
        async with asyncio.timeout(LIMIT_S):
            async for event in world.client.events(run):
                if not isinstance(event, LiveMessage):
                    continue
                progress = open_envelope(event.envelope, Progress)
                if progress.kind == "text":
                    told.append(progress)
                    rest.set()  # the model goes on only when its first words are here
        answer = open_envelope(await world.client.result(run, timeout_s=LIMIT_S), Answer)
    assert answer.state == "completed"
    assert "".join(one.text for one in told) == '{"text": "It rains in Rome."}'
    assert {(one.role, one.task, one.reply) for one in told} == {("work", "only", 2)}
    outcomes = CHAT.sent_outcomes(server.requests[1].body)
    assert [text for _, text in outcomes] == ["It rains in Rome."]
    (report,) = answer.tasks
    assert (report.usage.model_calls, report.usage.tool_calls) == (2, 1)
