"""Spans that this process records while a test looks: a provider of the SDK that keeps them in memory."""

import contextlib
from collections.abc import Generator, Mapping
from functools import cache
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from stretto.shared.telemetry.ids import ChosenIds

__all__ = ["Recorded", "attributes_of", "recording", "texts_of"]


class Recorded:
    """The spans that ended so far, in that order."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of this name."""
        return [one for one in self.spans if one.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The one of this name."""
        found = self.named(name)
        assert len(found) == 1, f"{len(found)} of {name!r} among {[one.name for one in self.spans]}"
        return found[0]


@contextlib.contextmanager
def recording() -> Generator[Recorded]:
    """Record all spans that end within the block. A process has one provider for good: it stays, and forgets what nobody records."""
    keeper = _keeper()
    recorded = Recorded()
    keeper.recorded.append(recorded)
    try:
        yield recorded
    finally:
        keeper.recorded.remove(recorded)


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """What the span says."""
    return span.attributes or {}


def texts_of(span: ReadableSpan) -> str:
    """All that stands anywhere in a span: names, attributes, events, links, status and resource."""
    beside = [dict(one.attributes or {}) for one in span.events] + [dict(one.attributes or {}) for one in span.links]
    return f"{span.to_json()} {beside} {span.status.description}"


class _Keeper(SpanProcessor):
    def __init__(self) -> None:
        self.recorded: list[Recorded] = []

    def on_end(self, span: ReadableSpan) -> None:
        for one in self.recorded:
            one.spans.append(span)


@cache
def _keeper() -> _Keeper:
    keeper = _Keeper()
    provider = TracerProvider(id_generator=ChosenIds(), shutdown_on_exit=False)
    provider.add_span_processor(keeper)
    trace.set_tracer_provider(provider)
    assert trace.get_tracer_provider() is provider, "there is another provider in this process already"
    return keeper
