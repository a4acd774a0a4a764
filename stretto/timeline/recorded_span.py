"""RecordedSpan: a span of a run, as it was told on the bus."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

__all__ = ["RecordedSpan", "batch_of", "spans_in"]

Value = str | int | float | bool
_MOST: Final = 2**53
"""What counts as a number: no infinity, and nothing that is not one."""


@dataclass(frozen=True, slots=True)
class RecordedSpan:
    """One span.

    Attributes:
        id, parent: in hex; parent is empty where it has none.
        service: that told it.
        events: by name, the attributes of the last one.
    """

    id: str
    parent: str
    name: str
    service: str
    began: datetime
    ended: datetime
    attributes: Mapping[str, Value]
    events: Mapping[str, Mapping[str, Value]]
    failed: bool

    def text(self, name: str) -> str:
        """An attribute, as text; empty where it is not there."""
        return str(self.attributes.get(name, ""))

    def number(self, name: str) -> int:
        """An attribute, as a whole number from 0 on; 0 where it is none."""
        return int(self.quantity(name))

    def quantity(self, name: str) -> float:
        """An attribute, as a number from 0 on; 0 where it is none. A message by hand may say anything."""
        value = self.attributes.get(name, 0)
        return value if isinstance(value, int | float) and 0 <= value < _MOST else 0


def spans_in(data: bytes, trace: str) -> Iterator[RecordedSpan]:
    """The spans of a trace (in hex) in one message of OTLP. What cannot be read counts for nothing."""
    wanted = bytes.fromhex(trace)
    for of_resource in batch_of(data).resource_spans:
        service = next(
            (one.value.string_value for one in of_resource.resource.attributes if one.key == "service.name"), ""
        )
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                if span.trace_id == wanted:
                    yield _recorded(span, service)


def batch_of(data: bytes) -> ExportTraceServiceRequest:
    """A message of OTLP; an empty one where it cannot be read."""
    found = ExportTraceServiceRequest()
    try:
        found.ParseFromString(data)
    except DecodeError:
        found.Clear()
    return found


def _recorded(span: Span, service: str) -> RecordedSpan:
    return RecordedSpan(
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        service=service,
        began=_time(span.start_time_unix_nano),
        ended=_time(span.end_time_unix_nano),
        attributes={one.key: _value(one.value) for one in span.attributes},
        events={event.name: {one.key: _value(one.value) for one in event.attributes} for event in span.events},
        failed=span.status.code == Status.STATUS_CODE_ERROR,
    )


def _time(nanos: int) -> datetime:
    try:
        return datetime.fromtimestamp(nanos // 1_000 / 1_000_000, UTC)
    except (OverflowError, ValueError, OSError):  # a message by hand may say anything
        return datetime.fromtimestamp(0, UTC)


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bool_value":
            return value.bool_value
        case _:
            return ""
