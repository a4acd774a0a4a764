"""Spans of tools: one for each live call, with the tool's kind and its error's; none for what the journal answers."""

from collections.abc import Mapping
from typing import cast

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import JsonValue

from stretto.agents.context import TaskContext
from stretto.shared.models.offline.model import OfflineModel
from stretto.shared.models.protocol import ToolCall
from stretto.shared.telemetry.capture import Capture, capturing
from stretto.shared.tools.built_in.memory_search import MemorySearch
from stretto.shared.tools.errors import ToolArgumentsWrong, ToolUnavailable
from stretto.shared.tools.function import tool
from stretto.shared.tools.limits import LimitedTool, ToolLimits
from stretto.shared.tools.mcp import McpTool
from stretto.shared.tools.mcp_server import McpServer
from stretto.shared.tools.protocol import Tool
from tests.spans import attributes_of, recording, texts_of
from tests.unit.agent_world import ListedSteps, surroundings


@tool
async def look_up(what: str) -> dict[str, str]:
    """Look something up."""
    return {"found": f"canary-result for {what}"}


@tool
async def stumble(what: str) -> str:
    """Fail."""
    raise RuntimeError(f"canary-trouble with {what}")


def with_tools(*tools: Tool, steps: ListedSteps | None = None) -> TaskContext:
    return surroundings(OfflineModel(), tools=tools, steps=steps)


async def test_a_call_is_a_span_and_what_the_journal_answers_is_none() -> None:
    steps = ListedSteps()
    with recording() as recorded:
        await with_tools(look_up, steps=steps).tools.call("look_up", {"what": "canary-argument"})
        await with_tools(look_up, steps=steps).tools.call("look_up", {"what": "canary-argument"})
    span = recorded.one("execute_tool look_up")
    assert span.kind is SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert dict(attributes_of(span)) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.type": "function",
    }


async def test_a_call_that_a_model_asked_for_has_its_id() -> None:
    calls = with_tools(look_up).tools.for_reply()
    with recording() as recorded:
        await calls.outcomes_of([ToolCall(id="call_1", name="look_up", arguments={"what": "refunds"})])
        await calls.outcomes_of([ToolCall(id="canary of a server", name="look_up", arguments={"what": "returns"})])
    first, second = recorded.named("execute_tool look_up")
    assert attributes_of(first)["gen_ai.tool.call.id"] == "call_1"
    assert "gen_ai.tool.call.id" not in attributes_of(second), "it is no id"


async def test_a_tool_that_fails_is_told_by_the_kind_of_its_error() -> None:
    with recording() as recorded, pytest.raises(RuntimeError):
        await with_tools(stumble).tools.call("stumble", {"what": "canary-argument"})
    span = recorded.one("execute_tool stumble")
    assert span.status.status_code is StatusCode.ERROR
    assert attributes_of(span)["error.type"] == "RuntimeError"
    assert "canary" not in texts_of(span)


async def test_arguments_that_do_not_fit_are_no_call() -> None:
    with recording() as recorded, pytest.raises(ToolArgumentsWrong):
        await with_tools(look_up).tools.call("look_up", {"what": 1})
    assert recorded.spans == []


async def test_a_tool_that_looks_something_up_for_a_model_is_a_datastore() -> None:
    with recording() as recorded:
        await with_tools(LimitedTool(MemorySearch(), ToolLimits())).tools.call("memory_search", {"query": "refunds"})
    assert attributes_of(recorded.one("execute_tool memory_search"))["gen_ai.tool.type"] == "datastore"


async def test_arguments_and_result_are_told_where_they_are_asked_for() -> None:
    with recording() as recorded, capturing(Capture(spans=True)):
        await with_tools(look_up).tools.call("look_up", {"what": "refunds"})
    found = attributes_of(recorded.one("execute_tool look_up"))
    assert found["gen_ai.tool.call.arguments"] == '{"what": "refunds"}'
    assert found["gen_ai.tool.call.result"] == '{"found": "canary-result for refunds"}'


class AwayServer:
    """An MCP server that does not answer."""

    async def call(self, name: str, arguments: Mapping[str, JsonValue], *, key: str) -> object:
        raise ToolUnavailable("canary-trouble")


async def test_a_tool_of_an_mcp_server_is_an_extension() -> None:
    remote = McpTool(
        server=cast("McpServer", AwayServer()),
        remote="find",
        name="shop_find",
        description="Find something.",
        schema={"type": "object"},
        output_schema=None,
        effects="none",
    )
    with recording() as recorded, pytest.raises(ToolUnavailable):
        await with_tools(remote).tools.call("shop_find")
    span = recorded.one("execute_tool shop_find")
    assert attributes_of(span)["gen_ai.tool.type"] == "extension"
    assert attributes_of(span)["error.type"] == "ToolUnavailable"
    assert "canary" not in texts_of(span)
