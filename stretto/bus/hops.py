"""Hops: what is told of messages on their way: a span for each that is sent and for each that is handled, and how long that took.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ and .../messaging-metrics/
"""

import time
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Final, Self

from opentelemetry import context as contexts
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.util.types import AttributeValue

from stretto import __version__
from stretto.bus import tracing
from stretto.bus.conventions import (
    ERROR_TYPE,
    MESSAGING_CONSUMER_GROUP,
    MESSAGING_CONVERSATION_ID,
    MESSAGING_DELIVERY,
    MESSAGING_DESTINATION,
    MESSAGING_MESSAGE_ID,
    MESSAGING_OPERATION_NAME,
    MESSAGING_OPERATION_TYPE,
    MESSAGING_SEQUENCE,
    MESSAGING_STREAM,
    MESSAGING_SYSTEM,
)
from stretto.bus.delivery import Delivery
from stretto.bus.errors import Conflict

__all__ = ["Handling", "Sending", "from_stream"]

_METER = metrics.get_meter("stretto", __version__)
_BOUNDARIES_S: Final = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
_SENT_S = _METER.create_histogram(
    "messaging.client.operation.duration",
    unit="s",
    description="Duration of sending a message, its acknowledgement included.",
    explicit_bucket_boundaries_advisory=_BOUNDARIES_S,
)
_HANDLED_S = _METER.create_histogram(
    "messaging.process.duration",
    unit="s",
    description="Duration of processing a message.",
    explicit_bucket_boundaries_advisory=_BOUNDARIES_S,
)


class _Hop:
    """Both ends have this in common: a span, if anybody records it, and a measure."""

    __slots__ = ("_began", "_destination", "_span")
    _span: Span | None
    _began: float

    def __init__(self, destination: str) -> None:
        self._destination = destination

    def _begin(
        self,
        operation: str,
        type_: str,
        kind: SpanKind,
        parent: Context | None,
        links: tuple[Link, ...],
        more: Mapping[str, AttributeValue],
    ) -> Span:
        attributes: dict[str, AttributeValue] = {
            MESSAGING_SYSTEM: "nats",
            MESSAGING_OPERATION_NAME: operation,
            MESSAGING_OPERATION_TYPE: type_,
            MESSAGING_DESTINATION: self._destination,
            **more,
        }
        return tracing.begin(f"{operation} {self._destination}", parent, kind, attributes, links)

    def _labels(self, operation: str, error: type[BaseException] | None) -> dict[str, AttributeValue]:
        labels: dict[str, AttributeValue] = {
            MESSAGING_SYSTEM: "nats",
            MESSAGING_OPERATION_NAME: operation,
            MESSAGING_DESTINATION: self._destination,
        }
        if error is not None:
            labels[ERROR_TYPE] = error.__name__
        return labels


class Sending(_Hop):
    """`with Sending(...) as sending:` around sending one message of a run, with `sending.headers` among its headers. What is refused
    because another message is there already (`Conflict`) was not sent: it is not told.

    Args:
        destination: the template of its subject, with few values.

    Attributes:
        headers: how the message tells its receiver where its span belongs; empty where nobody records spans.
    """

    __slots__ = ("_attributes", "_message_id", "_run", "headers")

    def __init__(
        self, destination: str, *, run: str, message_id: str, attributes: Mapping[str, AttributeValue] | None = None
    ) -> None:
        super().__init__(destination)
        self._run = run
        self._message_id = message_id
        self._attributes = attributes
        self.headers: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._span = None
        if tracing.is_on():
            parent, links = tracing.parent_here(self._run)
            known = {MESSAGING_MESSAGE_ID: self._message_id, MESSAGING_CONVERSATION_ID: self._run}
            more = {**known, **self._attributes} if self._attributes else known
            self._span = self._begin("send", "send", SpanKind.PRODUCER, parent, tuple(links), more)
            self.headers = tracing.headers_of(self._span)
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is Conflict:
            return  # a span that never ends is never told
        _SENT_S.record(time.perf_counter() - self._began, self._labels("send", kind))
        if self._span is not None:
            if isinstance(error, Exception):
                tracing.fail(self._span, error)
            self._span.end()


class Handling(_Hop):
    """`with Handling(...):` around what is done about one message of a run: the current span within the block.

    Args:
        destination: the template of its subject, with few values.
        headers: the message's.
        attributes: more of it, as from `from_stream`.
        links: to what it goes on from.
    """

    __slots__ = ("_attributes", "_headers", "_links", "_message_id", "_run", "_token")
    _token: Token[Context] | None

    def __init__(
        self,
        destination: str,
        *,
        run: str,
        message_id: str,
        headers: Mapping[str, str] | None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: tuple[Link, ...] = (),
    ) -> None:
        super().__init__(destination)
        self._run = run
        self._message_id = message_id
        self._headers = headers
        self._attributes = attributes
        self._links = links

    def __enter__(self) -> Self:
        self._span, self._token = None, None
        if tracing.is_on():
            parent, links = tracing.parent_from(self._headers, self._run)
            more = {
                MESSAGING_MESSAGE_ID: self._message_id,
                MESSAGING_CONVERSATION_ID: self._run,
                **(self._attributes or {}),
            }
            self._span = self._begin("process", "process", SpanKind.CONSUMER, parent, (*links, *self._links), more)
            self._token = contexts.attach(trace.set_span_in_context(self._span))
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _HANDLED_S.record(time.perf_counter() - self._began, self._labels("process", kind))
        if self._span is not None:
            if self._token is not None:
                contexts.detach(self._token)
            if isinstance(error, Exception):
                tracing.fail(self._span, error)
            self._span.end()


def from_stream(delivery: Delivery, group: str) -> Mapping[str, AttributeValue]:
    """What is told of a message that the durable consumer `group` delivered."""
    if not tracing.is_on():
        return {}
    return {
        MESSAGING_CONSUMER_GROUP: group,
        MESSAGING_STREAM: delivery.stream,
        MESSAGING_SEQUENCE: delivery.seq,
        MESSAGING_DELIVERY: delivery.deliveries,
    }
