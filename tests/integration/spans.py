"""Spans as they went over the wire: OTLP's messages, read back into plain values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

__all__ = ["Event", "Link", "Span", "Value", "read_spans"]

Value = str | bool | int | float | bytes | list["Value"] | dict[str, "Value"] | None

_KINDS: Final = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
_ERROR: Final = 2


@dataclass(frozen=True, slots=True)
class Event:
    """What a span tells of a moment."""

    name: str
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Link:
    """Another span that a span names, by its ids in hex."""

    trace: str
    span: str
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """A span; ids are in hex, `parent` is empty for a root, times are nanoseconds since 1970.

    Attributes:
        service: the `service.name` of its resource, and `resource` all of it.
        scope: what instrumented it.
        failed: its status says that it failed; `message` is what the status says besides.
    """

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Value]
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    failed: bool = False
    message: str = ""
    scope: str = ""
    resource: Mapping[str, Value] = field(default_factory=dict)

    @property
    def service(self) -> str:
        return str(self.resource.get("service.name", ""))

    def __str__(self) -> str:
        return f"{self.name} [{self.service}]"


def read_spans(request: ExportTraceServiceRequest) -> list[Span]:
    """The spans of an export, with what their resource and scope say."""
    return [
        _read(span, _attributes(of_resource.resource.attributes), of_scope.scope.name)
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def _read(span: Sent, resource: Mapping[str, Value], scope: str) -> Span:
    return Span(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        kind=_KINDS[span.kind],
        began_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=tuple(Event(one.name, _attributes(one.attributes)) for one in span.events),
        links=tuple(Link(one.trace_id.hex(), one.span_id.hex(), _attributes(one.attributes)) for one in span.links),
        failed=span.status.code == _ERROR,
        message=span.status.message,
        scope=scope,
        resource=resource,
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {one.key: _value(one.value) for one in pairs}


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return value.bytes_value
        case "array_value":
            return [_value(one) for one in value.array_value.values]
        case "kvlist_value":
            return {one.key: _value(one.value) for one in value.kvlist_value.values}
        case _:
            return None
