"""Chat: what is told of requests to models: a span each, and the GenAI conventions' metrics. No content, unless `Capture` says so."""

import contextlib
import time
from collections.abc import Generator, Mapping
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import metrics
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from stretto import __version__
from stretto.bus import tracing
from stretto.bus.conventions import (
    COST_USD,
    ERROR_TYPE,
    GEN_AI_CACHE_READ_TOKENS,
    GEN_AI_DETAILS,
    GEN_AI_FINISH_REASONS,
    GEN_AI_INPUT_TOKENS,
    GEN_AI_OPERATION,
    GEN_AI_OUTPUT_TOKENS,
    GEN_AI_OUTPUT_TYPE,
    GEN_AI_PROVIDER,
    GEN_AI_REASONING_TOKENS,
    GEN_AI_REQUEST_MAX_TOKENS,
    GEN_AI_REQUEST_MODEL,
    GEN_AI_REQUEST_STREAM,
    GEN_AI_RESPONSE_ID,
    GEN_AI_RESPONSE_MODEL,
    GEN_AI_TOKEN_TYPE,
    SERVER_ADDRESS,
    SERVER_PORT,
)
from stretto.shared.models.exchange import Ask, Said
from stretto.shared.telemetry.capture import capture
from stretto.shared.telemetry.content import answered, asked
from stretto.shared.telemetry.counters import model_called
from stretto.shared.telemetry.foreign import foreign
from stretto.shared.telemetry.work import work_attributes

__all__ = ["HERE", "Chat"]

HERE: Final = "stretto"
"""The provider of models that are no language models behind a server, but run in this process."""

_METER = metrics.get_meter("stretto", __version__)
_TOKENS = _METER.create_histogram(
    "gen_ai.client.token.usage",
    unit="{token}",
    description="Number of input and output tokens used.",
    explicit_bucket_boundaries_advisory=[4**power for power in range(14)],
)
_SECONDS = _METER.create_histogram(
    "gen_ai.client.operation.duration",
    unit="s",
    description="GenAI operation duration.",
    explicit_bucket_boundaries_advisory=[0.01 * 2**power for power in range(14)],
)
_FINISHED: Final = {
    "done": "stop",
    "paused": "pause",
    "length": "length",
    "overflow": "length",
    "refused": "content_filter",
}


class Chat:
    """Tells of the requests to one model.

    Args:
        provider: by its name in the settings; model: by its name there.
        base_url: of its server; only host and port of it are told.
    """

    def __init__(self, *, provider: str, model: str, base_url: str | None = None) -> None:
        self._name = f"chat {model}"
        self._known_as = model if provider == HERE else f"{provider}:{model}"
        self._labels: dict[str, AttributeValue] = {
            GEN_AI_OPERATION: "chat",
            GEN_AI_PROVIDER: provider,
            GEN_AI_REQUEST_MODEL: model,
        }
        self._known = {**self._labels, **(_server(base_url) if base_url else {})}

    @contextlib.contextmanager
    def request(self, ask: Ask, said: Said, *, max_tokens: int | None = None, stream: bool = False) -> Generator[None]:
        """Tell of the block: it is one request, and fills `said`, usage and its price included. What it raises is told by its type."""
        began = time.perf_counter()
        error = ""
        attributes = self._attributes(ask, max_tokens, stream=stream) if tracing.is_on() else None
        with tracing.span(self._name, kind=SpanKind.CLIENT, attributes=attributes) as span:
            try:
                yield
            except BaseException as raised:
                error = type(raised).__name__
                raise
            finally:
                self._measure(said, time.perf_counter() - began, error)
                if span.is_recording():
                    self._tell(span, ask, said)

    def _attributes(self, ask: Ask, max_tokens: int | None, *, stream: bool) -> Mapping[str, AttributeValue]:
        found = {**self._known, **work_attributes()}
        if max_tokens is not None:
            found[GEN_AI_REQUEST_MAX_TOKENS] = max_tokens
        if stream:
            found[GEN_AI_REQUEST_STREAM] = True
        if ask.shape.means != "text":
            found[GEN_AI_OUTPUT_TYPE] = "json"
        return found

    def _tell(self, span: Span, ask: Ask, said: Said) -> None:
        usage, reason = said.usage, _finish_reason(said)
        span.set_attribute(GEN_AI_FINISH_REASONS, [reason])
        for name, value in (
            (GEN_AI_RESPONSE_MODEL, foreign(said.model)),
            (GEN_AI_RESPONSE_ID, foreign(said.response_id)),
            (GEN_AI_INPUT_TOKENS, usage.input_tokens),
            (GEN_AI_OUTPUT_TOKENS, usage.output_tokens),
            (GEN_AI_CACHE_READ_TOKENS, usage.cached_input_tokens),
            (GEN_AI_REASONING_TOKENS, usage.reasoning_tokens),
            (COST_USD, usage.cost_usd),
        ):
            if value:
                span.set_attribute(name, value)
        if where := capture():
            content = {**asked(ask), **answered(said, reason)}
            if where.spans:
                span.set_attributes(content)
            if where.events:
                span.add_event(GEN_AI_DETAILS, {**self._labels, **content})

    def _measure(self, said: Said, seconds: float, error: str) -> None:
        model = foreign(said.model)
        labels = {**self._labels, GEN_AI_RESPONSE_MODEL: model} if model else self._labels
        for kind, tokens in (("input", said.usage.input_tokens), ("output", said.usage.output_tokens)):
            if tokens:
                _TOKENS.record(tokens, {**labels, GEN_AI_TOKEN_TYPE: kind})
        _SECONDS.record(seconds, {**labels, ERROR_TYPE: error} if error else labels)
        model_called(self._known_as, said.usage, error=error)


def _server(base_url: str) -> dict[str, AttributeValue]:
    parts = urlsplit(base_url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return {SERVER_ADDRESS: parts.hostname, SERVER_PORT: port} if parts.hostname else {}


def _finish_reason(said: Said) -> str:
    if said.stop is None:
        return "error"
    return "tool_call" if said.stop == "done" and said.calls else _FINISHED[said.stop]
