"""Tools of an agent, as the settings name them, on a real bus: each call happens once, whatever happened to the process that made it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from pydantic import TypeAdapter

from stretto.agents.context import TaskContext
from stretto.bus.envelope import ArtifactRef
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import ToolCall
from stretto.shared.tools.errors import ToolForbidden
from stretto.shared.tools.function import tool
from stretto.shared.tools.settings import ToolSettings
from stretto.shared.tools.toolset import Toolset
from tests.integration.crew import ROLE, Crew
from tests.integration.ground import Ground, open_ground
from tests.integration.lives import Lives, steps_of
from tests.unit.agent_world import ListMemory, record

ORDERS: list[str] = []


@tool(effects="keyed")
async def order(item: str, key: str) -> str:
    """Order something."""
    ORDERS.append(key)
    return f"ordered {item}"


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, task_lease_s=1.5) as ground:
        await ground.queue.provision(ROLE)
        yield ground


@pytest.fixture
async def crew(ground: Ground) -> AsyncGenerator[Crew]:
    crew = Crew(ground)
    yield crew
    await crew.dismiss()


@asynccontextmanager
async def page(text: str, asked: list[str]) -> AsyncGenerator[int]:
    """A web server on a free port; `asked` gets the heads of its requests."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        body = text.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_tool_runs_once_though_its_handler_is_run_again(crew: Crew) -> None:
    asked: list[str] = []
    long = "The warranty lasts two years. " * 1_000
    memory = ListMemory(record("r1", "Refunds take 14 days."))

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        web = await ctx.tools.call("web", {"url": f"http://localhost:{port}/warranty"})
        calls = [
            ToolCall(id="1", name="order", arguments={"item": "pen"}),
            ToolCall(id="2", name="sums", arguments={"expression": "6 * 7"}),
            ToolCall(id="3", name="search", arguments={"query": "refunds"}),
            ToolCall(id="4", name="wipe", arguments={}),
        ]
        outcomes = await ctx.tools.for_reply().outcomes_of(calls)
        await lives.linger()
        assert isinstance(web, dict)
        ref = ArtifactRef.model_validate({"sha256": web["artifact"], "size_bytes": web["size_bytes"]})
        assert long.strip() in (await crew.ground.artifacts.get(ref)).decode()
        assert "14 days" in outcomes[2].text
        return "; ".join([str(outcomes[0].text), outcomes[1].text, outcomes[3].text])

    async with page(long, asked) as port:
        given: dict[str, dict[str, object]] = {
            "web": {
                "kind": "fetch",
                "hosts": ["localhost"],
                "schemes": ["http"],
                "ports": [port],
                "loopback": True,
                "over": "artifact",
                "size_limit_bytes": 1_000,
            },
            "order": {"kind": "function", "function": f"{__name__}:order"},
            "sums": {"kind": "calculate"},
            "search": {"kind": "memory_search"},
        }
        settings = TypeAdapter(dict[str, ToolSettings]).validate_python(
            {name: {**one, "roles": [ROLE]} for name, one in given.items()}
        )
        async with Toolset(settings, roles=[ROLE], keep=crew.ground.artifacts.put) as tools:
            lives = Lives(crew, handle, tools=tools.of(ROLE), memory=memory)
            ORDERS.clear()
            await lives.begin()
            await crew.put(crew.key())
            await lives.arrived()
            await lives.begin()
            result = await crew.result(crew.key())
    assert result.output is not None
    assert result.output["text"] == ("ordered pen; 42; there is no tool 'wipe' here: there is web, order, sums, search")
    assert len(asked) == 1
    assert asked[0].startswith(f"GET /warranty HTTP/1.1\r\nHost: localhost:{port}\r\n")
    assert len(ORDERS) == 1
    assert memory.queries == ["refunds"]
    assert result.usage == Usage(tool_calls=4)
    steps = await steps_of(crew.ground, crew.key())
    assert [(one.kind, one.name) for one in steps] == [("tool", one) for one in ("web", "order", "sums", "search")]


async def test_a_server_of_this_machine_is_not_fetched_from() -> None:
    asked: list[str] = []
    async with page("secret", asked) as port:
        settings = TypeAdapter(dict[str, ToolSettings]).validate_python(
            {"web": {"kind": "fetch", "roles": [ROLE], "hosts": ["localhost"], "schemes": ["http"], "ports": [port]}}
        )
        async with Toolset(settings, roles=[ROLE]) as tools:
            (web,) = tools.of(ROLE)
            with pytest.raises(ToolForbidden, match="not public"):
                await web.call({"url": f"http://localhost:{port}/"}, key="")
    assert asked == []
