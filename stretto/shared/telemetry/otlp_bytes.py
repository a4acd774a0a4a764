"""OTLP bytes: spans as they stand in an OTLP `ExportTraceServiceRequest`, written out by hand.

https://github.com/open-telemetry/opentelemetry-proto (trace/v1/trace.proto, common/v1/common.proto)

It is done for every span when it ends, and has to cost little: the library's encoder takes several times as long, and its spans have to be
kept until then. What the library writes is the reference in the tests.
"""

import functools
import struct
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link, SpanContext, SpanKind
from opentelemetry.util.types import AnyValue

__all__ = ["request_bytes", "span_bytes"]

_KINDS: Final = {
    SpanKind.INTERNAL: b"\x30\x01",
    SpanKind.SERVER: b"\x30\x02",
    SpanKind.CLIENT: b"\x30\x03",
    SpanKind.PRODUCER: b"\x30\x04",
    SpanKind.CONSUMER: b"\x30\x05",
}
_IDS: Final = struct.Struct(">HQQHQ")
_PARENT: Final = struct.Struct(">HQ")
_TIMES: Final = struct.Struct("<BQBQ")
_DOUBLE: Final = struct.Struct("<d")
_FIXED64: Final = struct.Struct("<Q")
_HERE, _REMOTE = b"\x00\x01\x00\x00", b"\x00\x03\x00\x00"
"""Flags, as fixed32: it is known whether the parent (or what is linked to) is in another process; and it is."""
_KEPT_CHARS: Final = 31
"""Longer ones are ids, mostly, and come a few times only."""
_HALF: Final = (1 << 64) - 1


def span_bytes(span: ReadableSpan) -> bytes:
    """The span, as a field of `ScopeSpans`."""
    context, parent = span.get_span_context() or INVALID_SPAN_CONTEXT, span.parent
    parts = [
        _IDS.pack(0x0A10, context.trace_id >> 64, context.trace_id & _HALF, 0x1208, context.span_id),
        _PARENT.pack(0x2208, parent.span_id) if parent is not None else b"",
        _name(span.name),
        _KINDS[span.kind],
        _TIMES.pack(0x39, span.start_time or 0, 0x41, span.end_time or 0),
        *_attributes(b"\x4a", span.attributes),
        *_count(b"\x50", span.dropped_attributes),
        *(_event(event) for event in span.events),
        *_count(b"\x60", span.dropped_events),
        *(_link(link) for link in span.links),
        *_count(b"\x70", span.dropped_links),
    ]
    if context.trace_state:
        parts.append(_text(b"\x1a", context.trace_state.to_header()))
    status = span.status
    code = status.status_code.value
    told = _text(b"\x12", status.description) if status.description else b""
    parts.append(_field(b"\x7a", told + b"\x18" + _varint(code)) if code or told else b"\x7a\x00")
    parts.append(b"\x85\x01" + (_REMOTE if parent is not None and parent.is_remote else _HERE))
    return _field(b"\x12", b"".join(parts))


def request_bytes(resource: Resource, scope: InstrumentationScope | None, spans: Iterable[bytes]) -> bytes:
    """A request with such spans of one scope. Requests one behind the other are one request."""
    of_scope = (
        _field(b"\x0a", _scope(scope)),
        *spans,
        _text(b"\x1a", scope.schema_url) if scope and scope.schema_url else b"",
    )
    of_resource = (
        _field(b"\x0a", b"".join(_attributes(b"\x0a", resource.attributes))),
        _field(b"\x12", b"".join(of_scope)),
        _text(b"\x1a", resource.schema_url) if resource.schema_url else b"",
    )
    return _field(b"\x0a", b"".join(of_resource))


def _scope(scope: InstrumentationScope | None) -> bytes:
    if scope is None:
        return b""
    return b"".join(
        (
            _text(b"\x0a", scope.name),
            _text(b"\x12", scope.version) if scope.version else b"",
            *_attributes(b"\x1a", scope.attributes),
        )
    )


def _event(event: Event) -> bytes:
    parts = (
        b"\x09" + _FIXED64.pack(event.timestamp),
        _text(b"\x12", event.name),
        *_attributes(b"\x1a", event.attributes),
        *_count(b"\x20", event.dropped_attributes),
    )
    return _field(b"\x5a", b"".join(parts))


def _link(link: Link) -> bytes:
    context: SpanContext = link.context
    parts = (
        b"\x0a\x10" + context.trace_id.to_bytes(16, "big"),
        b"\x12\x08" + context.span_id.to_bytes(8, "big"),
        *_attributes(b"\x22", link.attributes),
        *_count(b"\x28", link.dropped_attributes),
        b"\x35" + (_REMOTE if context.is_remote else _HERE),
    )
    return _field(b"\x6a", b"".join(parts))


def _attributes(tag: bytes, attributes: Mapping[str, AnyValue] | None) -> list[bytes]:
    if not attributes:
        return []
    if isinstance(attributes, MappingProxyType | BoundedAttributes):
        attributes = attributes.copy()  # a dictionary: these go through Python code for each item
    return [
        (_kept_text_pair if len(value) <= _KEPT_CHARS else _text_pair)(tag, key, value)
        if type(value) is str
        else tag + _pair(key, value)
        for key, value in attributes.items()
    ]


def _text_pair(tag: bytes, key: str, value: str) -> bytes:
    head, text = _key(key), value.encode("utf-8", "replace")
    size = len(head) + len(text) + 4
    if size < 0x80:  # then each length takes one byte
        return b"".join((tag, _SMALL[size], head, b"\x12", _SMALL[len(text) + 2], b"\x0a", _SMALL[len(text)], text))
    return tag + _pair(key, value)


_kept_text_pair = functools.lru_cache(1_024)(_text_pair)


def _pair(key: str, value: AnyValue) -> bytes:
    """A `KeyValue`, with its length before it."""
    pair = _key(key) + _field(b"\x12", _value(value))
    return _varint(len(pair)) + pair


def _value(value: AnyValue) -> bytes:
    """An `AnyValue`."""
    match value:
        case None:
            return b""
        case bool():
            return b"\x10\x01" if value else b"\x10\x00"
        case str():
            return _text(b"\x0a", value)
        case int():
            return b"\x18" + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
        case float():
            return b"\x21" + _DOUBLE.pack(value)
        case bytes():
            return _field(b"\x3a", value)
        case Sequence():
            return _field(b"\x2a", b"".join(_field(b"\x0a", _value(one)) for one in value))
        case Mapping():
            pairs = (b"\x0a" + _pair(str(key), one) for key, one in value.items())
            return _field(b"\x32", b"".join(pairs))


def _count(tag: bytes, count: int) -> tuple[bytes, ...]:
    return (tag, _varint(count)) if count else ()


def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, text.encode("utf-8", "replace"))


_name = functools.lru_cache(512)(functools.partial(_text, b"\x2a"))
_key = functools.lru_cache(512)(functools.partial(_text, b"\x0a"))


def _field(tag: bytes, payload: bytes) -> bytes:
    return tag + _varint(len(payload)) + payload


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SMALL[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


_SMALL: Final = tuple(bytes((number,)) for number in range(0x80))
