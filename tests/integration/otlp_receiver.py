"""OtlpReceiver: takes what is exported by OpenTelemetry's protocol, over HTTP and over gRPC, and keeps it.

It works in threads of its own, so tests of any kind can have one, and what exports to it may be other processes.
"""

import gzip
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

import grpc  # type: ignore[import-untyped]  # it ships no types
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.integration.spans import Span, read_spans

__all__ = ["OtlpReceiver"]

_LIMIT_S: Final = 30.0
_TRACES, _METRICS = "/v1/traces", "/v1/metrics"
_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"


class OtlpReceiver:
    """Listens on loopback while its block is open.

    Attributes:
        status: what HTTP exports are answered with; what is answered with an error is not kept.
        metrics: the exports of metrics that came over HTTP.
        headers: those of each export, by their lower-case names; the metadata of those by gRPC.
    """

    def __init__(self) -> None:
        self.status = 200
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self._spans: list[Span] = []
        self._more = threading.Condition()
        self._http: ThreadingHTTPServer | None = None
        self._grpc: Any = None
        self._grpc_port = 0

    def __enter__(self) -> Self:
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()
        if self._grpc is not None:
            self._grpc.stop(None).wait()

    @property
    def url(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT with OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf."""
        assert self._http is not None
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def grpc_url(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT with OTEL_EXPORTER_OTLP_PROTOCOL=grpc; it is listened there from now on."""
        if self._grpc is None:
            self._grpc = grpc.server(ThreadPoolExecutor(2))
            export = grpc.unary_unary_rpc_method_handler(
                self._export,
                request_deserializer=ExportTraceServiceRequest.FromString,
                response_serializer=ExportTraceServiceResponse.SerializeToString,
            )
            self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": export}),))
            self._grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
            self._grpc.start()
        return f"http://127.0.0.1:{self._grpc_port}"

    @property
    def spans(self) -> list[Span]:
        """All that came until now."""
        with self._more:
            return list(self._spans)

    def of(self, trace: str) -> list[Span]:
        """What came of one trace until now, by when it began."""
        return sorted((one for one in self.spans if one.trace == trace), key=lambda one: one.began_ns)

    def wait_for(self, enough: Callable[[list[Span]], bool], *, limit_s: float = _LIMIT_S) -> list[Span]:
        """Wait until what came is enough; return all of it.

        Raises:
            AssertionError: it is not, after `limit_s`; the text names the spans that came.
        """
        give_up_at = time.monotonic() + limit_s
        with self._more:
            while not enough(self._spans):
                left_s = give_up_at - time.monotonic()
                assert left_s > 0, "not all came: " + ", ".join(map(str, self._spans))
                self._more.wait(left_s)
            return list(self._spans)

    def keep(self, spans: list[Span], headers: dict[str, str]) -> None:
        """Take an export of spans."""
        with self._more:
            self._spans += spans
            self.headers.append(headers)
            self._more.notify_all()

    def keep_metrics(self, request: ExportMetricsServiceRequest, headers: dict[str, str]) -> None:
        """Take an export of metrics."""
        with self._more:
            self.metrics.append(request)
            self.headers.append(headers)
            self._more.notify_all()

    def _export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:
        self.keep(read_spans(request), {key: str(value) for key, value in context.invocation_metadata()})
        return ExportTraceServiceResponse()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Only what is no end of a connection is told: clients may be killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # handed on as it came


def _handler(receiver: OtlpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.status if self.path in (_TRACES, _METRICS) else 404
            if status == 200 and self.path == _TRACES:
                receiver.keep(read_spans(ExportTraceServiceRequest.FromString(body)), headers)
            elif status == 200:
                receiver.keep_metrics(ExportMetricsServiceRequest.FromString(body), headers)
            # An empty body is an empty message of this protocol: all was taken.
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
            """Say nothing."""

    return Handler
