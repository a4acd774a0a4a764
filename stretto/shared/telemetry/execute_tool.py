"""execute_tool: what is told of a tool's call: a span, by the GenAI conventions. No content, unless `Capture` says so."""

import contextlib
from collections.abc import Generator, Mapping
from typing import Final

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from opentelemetry.util.types import AttributeValue
from pydantic import JsonValue

from stretto.bus import tracing
from stretto.bus.conventions import (
    GEN_AI_OPERATION,
    GEN_AI_TOOL_ARGUMENTS,
    GEN_AI_TOOL_CALL_ID,
    GEN_AI_TOOL_NAME,
    GEN_AI_TOOL_RESULT,
    GEN_AI_TOOL_TYPE,
)
from stretto.shared.telemetry.capture import capture
from stretto.shared.telemetry.content import told
from stretto.shared.telemetry.foreign import foreign
from stretto.shared.telemetry.work import work_attributes
from stretto.shared.tools.built_in.memory_search import MemorySearch
from stretto.shared.tools.limits import LimitedTool
from stretto.shared.tools.mcp import McpTool
from stretto.shared.tools.protocol import Tool

__all__ = ["execute_tool", "tell_result"]

_EXECUTE: Final = "execute_tool"


@contextlib.contextmanager
def execute_tool(tool: Tool, arguments: Mapping[str, JsonValue], *, call_id: str | None) -> Generator[Span]:
    """Tell of the block: it is one call. What it raises is told by its type.

    Args:
        call_id: of the model that asked for it; None where none did.
    """
    if not tracing.is_on():
        yield INVALID_SPAN
        return
    attributes: dict[str, AttributeValue] = {
        GEN_AI_OPERATION: _EXECUTE,
        GEN_AI_TOOL_NAME: tool.name,
        GEN_AI_TOOL_TYPE: _type_of(tool),
        **work_attributes(),
    }
    if asked_as := foreign(call_id):
        attributes[GEN_AI_TOOL_CALL_ID] = asked_as
    with tracing.span(f"{_EXECUTE} {tool.name}", kind=SpanKind.INTERNAL, attributes=attributes) as span:
        if span.is_recording() and capture().spans:
            span.set_attribute(GEN_AI_TOOL_ARGUMENTS, told(dict(arguments)))
        yield span


def tell_result(span: Span, result: JsonValue) -> None:
    """What the call gave."""
    if span.is_recording() and capture().spans:
        span.set_attribute(GEN_AI_TOOL_RESULT, told(result))


def _type_of(tool: Tool) -> str:
    """One of the conventions' three: `extension` for what calls another party's service, `datastore` for what looks something up."""
    match tool.tool if isinstance(tool, LimitedTool) else tool:
        case McpTool():
            return "extension"
        case MemorySearch():
            return "datastore"
        case _:
            return "function"
