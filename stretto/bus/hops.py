"""Hops: what is told of messages on their way: a span for each that is sent and for each that is handled, and how long that took.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ and .../messaging-metrics/
"""

import functools
import time
from collections.abc import Mapping, Sequence
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
from stretto.bus.errors import Busy, Conflict

__all__ = ["Handling", "Sending", "from_stream", "tell_failure", "tell_message"]

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

_NOT_SENT: Final = (Conflict, Busy)

Attributes = Mapping[str, AttributeValue]


class Sending:
    """`with Sending(...) as sending:` around sending one message of a run, with `sending.headers` among its headers. What is refused
    because another message is there already (`Conflict`), or because there is no room just now (`Busy`), was not sent: it is not told.

    Args:
        destination: the template of its subject, with few values.

    Attributes:
        headers: how the message tells its receiver where its span belongs; empty where nobody records spans.
    """

    __slots__ = ("_attributes", "_began", "_destination", "_message_id", "_run", "_span", "_tenant", "headers")
    _began: float

    def __init__(
        self, destination: str, *, tenant: str, run: str, message_id: str, attributes: Attributes | None = None
    ) -> None:
        self._destination = destination
        self._tenant = tenant
        self._run = run
        self._message_id = message_id
        self._attributes = attributes
        self._span: Span | None = None
        self.headers: dict[str, str] = {}

    def __enter__(self) -> Self:
        if tracing.is_on():
            parent, links = tracing.parent_here(self._tenant, self._run)
            attributes: dict[str, AttributeValue] = {
                **_labels("send", self._destination),
                MESSAGING_MESSAGE_ID: self._message_id,
                MESSAGING_CONVERSATION_ID: self._run,
            }
            if self._attributes:
                attributes.update(self._attributes)
            self._span = tracing.begin(_name("send", self._destination), parent, SpanKind.PRODUCER, attributes, links)
            self.headers = tracing.headers_of(self._span)
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind in _NOT_SENT:
            return  # a span that never ends is never told
        _SENT_S.record(
            time.perf_counter() - self._began, _labels("send", self._destination, kind.__name__ if kind else "")
        )
        if self._span is not None:
            if isinstance(error, Exception):
                tracing.fail(self._span, error)
            self._span.end()


class Handling:
    """`with Handling(...):` around what is done about one message: the current span within the block.

    Args:
        destination: the template of its subject, with few values.
        run: empty for what belongs to none.
        message_id: where it is known already; see `tell_message`.
        headers: the message's.
        attributes: more of it, as from `from_stream`.
        links: to what it goes on from.
    """

    __slots__ = (
        "_attributes",
        "_began",
        "_destination",
        "_headers",
        "_links",
        "_message_id",
        "_run",
        "_span",
        "_tenant",
        "_token",
    )
    _began: float
    _token: Token[Context]

    def __init__(
        self,
        destination: str,
        *,
        tenant: str,
        run: str,
        headers: Mapping[str, str] | None,
        message_id: str = "",
        attributes: Attributes | None = None,
        links: Sequence[Link] = (),
    ) -> None:
        self._destination = destination
        self._tenant = tenant
        self._run = run
        self._message_id = message_id
        self._headers = headers
        self._attributes = attributes
        self._links = links
        self._span: Span | None = None

    def __enter__(self) -> Self:
        if tracing.is_on():
            parent, links = tracing.parent_from(self._headers, self._tenant, self._run)
            attributes = dict(_labels("process", self._destination))
            if self._message_id:
                attributes[MESSAGING_MESSAGE_ID] = self._message_id
            if self._run:
                attributes[MESSAGING_CONVERSATION_ID] = self._run
            if self._attributes:
                attributes.update(self._attributes)
            self._span = tracing.begin(
                _name("process", self._destination), parent, SpanKind.CONSUMER, attributes, (*links, *self._links)
            )
            self._token = contexts.attach(trace.set_span_in_context(self._span))
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _HANDLED_S.record(
            time.perf_counter() - self._began, _labels("process", self._destination, kind.__name__ if kind else "")
        )
        if self._span is not None:
            contexts.detach(self._token)
            if isinstance(error, Exception):
                tracing.fail(self._span, error)
            self._span.end()


def tell_message(message_id: str) -> None:
    """Say which message is handled here, as soon as it is known."""
    trace.get_current_span().set_attribute(MESSAGING_MESSAGE_ID, message_id)


def tell_failure(error: Exception) -> None:
    """Say that what is handled here failed, though the handler does not raise: by the type of the error."""
    tracing.fail(trace.get_current_span(), error)


def from_stream(delivery: Delivery) -> Attributes | None:
    """What is told of a message that a durable consumer delivered; nothing where nobody records spans."""
    if not tracing.is_on():
        return None
    return {
        MESSAGING_CONSUMER_GROUP: delivery.consumer,
        MESSAGING_STREAM: delivery.stream,
        MESSAGING_SEQUENCE: delivery.seq,
        MESSAGING_DELIVERY: delivery.deliveries,
    }


@functools.cache
def _name(operation: str, destination: str) -> str:
    return f"{operation} {destination}"


@functools.cache
def _labels(operation: str, destination: str, error: str = "") -> dict[str, AttributeValue]:
    """What messages have in common: few values, to measure by. Not to be changed."""
    labels: dict[str, AttributeValue] = {
        MESSAGING_SYSTEM: "nats",
        MESSAGING_OPERATION_NAME: operation,
        MESSAGING_OPERATION_TYPE: operation,
        MESSAGING_DESTINATION: destination,
    }
    if error:
        labels[ERROR_TYPE] = error
    return labels
