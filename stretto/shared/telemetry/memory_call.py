"""memory_call: what is told of a call of the memory: a span, by the GenAI conventions. No content, unless `Capture` says so."""

import contextlib
from collections.abc import Generator
from typing import Final

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from opentelemetry.util.types import AttributeValue

from stretto.bus import tracing
from stretto.bus.conventions import (
    GEN_AI_MEMORY_QUERY,
    GEN_AI_MEMORY_STORE,
    GEN_AI_OPERATION,
    GEN_AI_PROVIDER,
    RECORDS,
)
from stretto.bus.message import Message
from stretto.shared.contracts.memory import AddRecords, Hits, MemoryDone, Records, SearchMemory
from stretto.shared.telemetry.capture import capture
from stretto.shared.telemetry.chat import HERE
from stretto.shared.telemetry.content import told
from stretto.shared.telemetry.work import work_attributes

__all__ = ["memory_call", "tell_reply"]

_OPERATIONS: Final = {
    "add": "upsert_memory",
    "search": "search_memory",
    "forget": "delete_memory",
    "embed": "embeddings",
}
"""Of the conventions. What they have no word for (`get`, `around`, `sources`, `stats`) is named after its verb: `around_memory`."""


@contextlib.contextmanager
def memory_call(verb: str, call: Message, *, tenant: str) -> Generator[Span]:
    """Tell of the block: it is one call. What it raises is told by its type. The store is the tenant's."""
    if not tracing.is_on():
        yield INVALID_SPAN
        return
    operation = _OPERATIONS.get(verb, f"{verb}_memory")
    attributes: dict[str, AttributeValue] = {
        GEN_AI_OPERATION: operation,
        GEN_AI_PROVIDER: HERE,
        GEN_AI_MEMORY_STORE: tenant,
        **work_attributes(),
    }
    if isinstance(call, AddRecords):
        attributes[RECORDS] = len(call.records)
    with tracing.span(operation, kind=SpanKind.CLIENT, attributes=attributes) as span:
        if isinstance(call, SearchMemory) and span.is_recording() and capture().spans:
            span.set_attribute(GEN_AI_MEMORY_QUERY, told(call.query))
        yield span


def tell_reply(span: Span, reply: Message) -> None:
    """How many records the call found or took away."""
    match reply:
        case Hits():
            span.set_attribute(RECORDS, len(reply.hits))
        case Records():
            span.set_attribute(RECORDS, len(reply.records))
        case MemoryDone():
            span.set_attribute(RECORDS, reply.count)
        case _:
            pass
