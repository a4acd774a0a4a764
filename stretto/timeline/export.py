"""export: a run's spans as OTLP/JSON, which any viewer takes. What spans do not tell is made from the log, and says so.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hex, enums as numbers, names in lowerCamelCase.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pydantic import JsonValue

from stretto.bus.conventions import (
    ATTEMPT,
    ERROR_TYPE,
    FROM_LOG,
    GEN_AI_AGENT_ID,
    GEN_AI_AGENT_NAME,
    GEN_AI_INPUT_TOKENS,
    GEN_AI_OPERATION,
    GEN_AI_OUTPUT_TOKENS,
    GEN_AI_REQUEST_MODEL,
    GEN_AI_TOOL_NAME,
    GEN_AI_WORKFLOW_NAME,
    RUN,
    RUN_STATE,
    TASK,
    TENANT,
)
from stretto.bus.tracing import ids_of, root_of
from stretto.timeline.recorded_span import batch_of
from stretto.timeline.story import Attempt, Period, Step, Story, Task

__all__ = ["Export", "export"]

_IDS: Final = ("traceId", "spanId", "parentSpanId")


@dataclass(frozen=True, slots=True)
class Export:
    """OTLP/JSON, and how many of its spans were told at the time, and how many were made from the log."""

    json: JsonValue
    told: int
    made: int


def export(story: Story, batches: Sequence[bytes]) -> Export:
    """The spans of the story's run among those in `batches` (messages of OTLP), and what they leave out."""
    found = ExportTraceServiceRequest()
    seen: set[bytes] = set()
    trace = bytes.fromhex(story.trace)
    for batch in batches:
        for of_resource in batch_of(batch).resource_spans:
            for of_scope in of_resource.scope_spans:
                spans = [one for one in of_scope.spans if one.trace_id == trace and one.span_id not in seen]
                if spans:
                    kept = found.resource_spans.add(resource=of_resource.resource)
                    kept.scope_spans.add(scope=of_scope.scope, spans=spans)
                    seen.update(one.span_id for one in spans)
    made = list(_made(story, seen))
    if made:
        of_log = found.resource_spans.add()
        of_log.resource.attributes.add(key="service.name").value.string_value = "stretto-log"
        of_log.scope_spans.add(spans=made).scope.name = "stretto"
    return Export(_with_hex_ids(MessageToDict(found, use_integers_for_enums=True)), len(seen), len(made))


def _made(story: Story, told: set[bytes]) -> Iterator[Span]:
    root = root_of(story.tenant, story.run).span_id.to_bytes(8, "big")
    if root not in told:
        name = f"invoke_workflow {story.playbook}".rstrip()
        about = {GEN_AI_OPERATION: "invoke_workflow", RUN: story.run, TENANT: story.tenant, RUN_STATE: story.state}
        if story.playbook:
            about[GEN_AI_WORKFLOW_NAME] = story.playbook
        yield _span(story, name, root, b"", story.period, about, error="failed" if story.state == "failed" else "")
    for task in story.tasks:
        for attempt in task.attempts:
            yield from _made_of(story, task, attempt, root)


def _made_of(story: Story, task: Task, attempt: Attempt, root: bytes) -> Iterator[Span]:
    place = f"{story.tenant}/{story.run} {task.id} {attempt.number}"
    parent = ids_of(place).span.to_bytes(8, "big") if not attempt.spans else root
    where: dict[str, str | int] = {RUN: story.run, TASK: task.id, ATTEMPT: attempt.number}
    if not attempt.spans:
        about: dict[str, str | int] = {
            GEN_AI_OPERATION: "invoke_agent",
            GEN_AI_AGENT_NAME: task.role,
            GEN_AI_AGENT_ID: attempt.agent,
            **where,
        }
        yield _span(story, f"invoke_agent {task.role}", parent, root, attempt.period, about, error=attempt.error)
    for position, step in enumerate(attempt.steps):
        if step.period.exact or step.kind not in ("model", "tool"):
            continue
        span_id = ids_of(f"{place} {position}").span.to_bytes(8, "big")
        name, of_step = _effect(step)
        yield _span(story, name, span_id, parent, step.period, {**of_step, **where}, error=step.error)


def _effect(step: Step) -> tuple[str, dict[str, str | int]]:
    if step.kind == "tool":
        return f"execute_tool {step.name}", {GEN_AI_OPERATION: "execute_tool", GEN_AI_TOOL_NAME: step.name}
    model = step.name.partition(":")[2] or step.name
    return f"chat {model}", {
        GEN_AI_OPERATION: "chat",
        GEN_AI_REQUEST_MODEL: model,
        GEN_AI_INPUT_TOKENS: step.usage.input_tokens,
        GEN_AI_OUTPUT_TOKENS: step.usage.output_tokens,
    }


def _span(
    story: Story,
    name: str,
    span_id: bytes,
    parent: bytes,
    period: Period,
    about: Mapping[str, str | int],
    *,
    error: str,
) -> Span:
    began = period.began or period.ended or story.period.began
    ended = period.ended or began
    span = Span(
        trace_id=bytes.fromhex(story.trace),
        span_id=span_id,
        parent_span_id=parent,
        name=name,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=_nanos(began),
        end_time_unix_nano=_nanos(ended),
    )
    span.attributes.add(key=FROM_LOG).value.bool_value = True
    for key, value in about.items():
        if isinstance(value, str):
            span.attributes.add(key=key).value.string_value = value
        else:
            span.attributes.add(key=key).value.int_value = value
    if error:
        span.attributes.add(key=ERROR_TYPE).value.string_value = error
        span.status.code = Status.STATUS_CODE_ERROR
    return span


def _nanos(at: datetime | None) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000 if at else 0


def _with_hex_ids(value: JsonValue) -> JsonValue:
    """protobuf's own JSON has bytes in Base64; OTLP wants ids in hex."""
    match value:
        case dict():
            return {
                name: base64.b64decode(one).hex() if name in _IDS and isinstance(one, str) else _with_hex_ids(one)
                for name, one in value.items()
            }
        case list():
            return [_with_hex_ids(one) for one in value]
        case _:
            return value
