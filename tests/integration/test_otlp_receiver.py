"""The receiver that other tests trust: what the SDK's own exporters send is read back as it was."""

import json
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tests.integration.otlp_receiver import OtlpReceiver
from tests.integration.spans import Event, Link, Span

SAID = '{"text": "a", "number": 1, "share": 0.5, "yes": true, "list": ["a", "b"]}'


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


def some_span() -> ReadableSpan:
    """A failed span with a link and an event, under another one."""
    tracer = TracerProvider(resource=Resource({"service.name": "mine"}), shutdown_on_exit=False).get_tracer("scope")
    outer = tracer.start_span("outer")
    links = [trace.Link(outer.get_span_context(), {"why": "so"})]
    inner = tracer.start_span("inner", trace.set_span_in_context(outer), trace.SpanKind.CLIENT, json.loads(SAID), links)
    inner.add_event("happened", {"times": 2})
    inner.set_status(trace.Status(trace.StatusCode.ERROR, "badly"))
    inner.end()
    assert isinstance(inner, ReadableSpan)
    return inner


def exporter_to(receiver: OtlpReceiver, protocol: str) -> SpanExporter:
    headers = {"authorization": "Basic abc"}
    if protocol == "grpc":
        return OverGrpc(endpoint=receiver.grpc_url, insecure=True, headers=headers)
    compression = Compression.Gzip if protocol == "http, gzip" else Compression.NoCompression
    return OverHttp(endpoint=f"{receiver.url}/v1/traces", headers=headers, compression=compression)


@pytest.mark.parametrize("protocol", ["http", "http, gzip", "grpc"])
def test_what_is_exported_is_read_back(receiver: OtlpReceiver, protocol: str) -> None:
    sent = some_span()
    exporter = exporter_to(receiver, protocol)
    assert exporter.export([sent]) is SpanExportResult.SUCCESS
    exporter.shutdown()

    (span,) = receiver.wait_for(lambda spans: len(spans) == 1)
    assert sent.context is not None
    assert sent.parent is not None
    above = f"{sent.parent.span_id:016x}"
    assert span == Span(
        trace=f"{sent.context.trace_id:032x}",
        id=f"{sent.context.span_id:016x}",
        parent=above,
        name="inner",
        kind="CLIENT",
        began_ns=sent.start_time or 0,
        ended_ns=sent.end_time or 0,
        attributes=json.loads(SAID),
        events=(Event("happened", {"times": 2}),),
        links=(Link(f"{sent.context.trace_id:032x}", above, {"why": "so"}),),
        failed=True,
        message="badly",
        scope="scope",
        resource={"service.name": "mine"},
    )
    assert str(span) == "inner [mine]"
    assert receiver.headers[0]["authorization"] == "Basic abc"


def test_what_is_refused_is_not_kept(receiver: OtlpReceiver) -> None:
    receiver.status = 400
    exporter = exporter_to(receiver, "http")
    assert exporter.export([some_span()]) is SpanExportResult.FAILURE
    exporter.shutdown()
    assert receiver.spans == []


def test_what_does_not_come_is_told(receiver: OtlpReceiver) -> None:
    with pytest.raises(AssertionError, match="not all came"):
        receiver.wait_for(bool, limit_s=0.01)
