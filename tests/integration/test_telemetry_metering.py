"""The metrics of a process to its end: to receivers of OTLP, to those that do not answer, to Prometheus, to a host's own provider."""

import os
import socket
import subprocess
import sys
import time

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.integration.otlp_receiver import OtlpReceiver

_LIMIT_S = 60.0
_ENDS_S = 8.0
"""An exporter would wait ten seconds for each of two endings."""
_METERED = ["metered: True"] * 2


def _run(url: str, prefix: str, mode: str = "plain", **variables: str) -> tuple[list[str], str]:
    """What the process said, and what it logged."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STRETTO_", "OTEL_"))}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.metered", mode, prefix],
        env=clean | {"STRETTO_NATS_URL": url} | variables,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines(), ended.stderr


def _counted(exports: list[ExportMetricsServiceRequest]) -> list[float]:
    """What was told of runs that ended, one number for each export; and that it is told of the service."""
    found: list[float] = []
    for resource in [one for export in exports for one in export.resource_metrics]:
        named = {one.key: one.value.string_value for one in resource.resource.attributes}
        assert named["service.name"] == "stretto-counter"
        told = [one for scope in resource.scope_metrics for one in scope.metrics if one.name == "stretto.runs.ended"]
        found += [sum(point.as_double or point.as_int for point in one.sum.data_points) for one in told]
    return found


def test_without_the_variables_nothing_is_imported(nats_url: str, prefix: str) -> None:
    said, _ = _run(nats_url, prefix)
    assert said == ["metered: False", "metered: False", "imported: False"]


def test_the_last_numbers_are_exported_at_the_end(nats_url: str, prefix: str) -> None:
    with OtlpReceiver() as receiver:
        said, log = _run(nats_url, prefix, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{receiver.url}/v1/metrics")
    assert said[:2] == _METERED
    assert _counted(receiver.metrics) == [1, 1]
    assert "not exported" not in log


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_endpoint_that_is_away_is_told_once_and_holds_up_nothing(nats_url: str, prefix: str, protocol: str) -> None:
    began = time.monotonic()
    with socket.socket() as bound:  # it is not listened there
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        said, log = _run(
            nats_url,
            prefix,
            OTEL_METRICS_EXPORTER="otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{address}",
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_TRACES_EXPORTER="none",
            OTEL_METRIC_EXPORT_INTERVAL="50",
        )
    assert said[:2] == _METERED
    assert time.monotonic() - began < _ENDS_S
    assert log.count("metrics are not exported") <= 2, log


def test_a_port_that_is_in_use_is_told_and_keeps_nobody_from_work(nats_url: str, prefix: str) -> None:
    with socket.create_server(("localhost", 0)) as taken:
        port = str(taken.getsockname()[1])
        said, log = _run(nats_url, prefix, OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=port)
    assert said[:2] == _METERED
    assert f"metrics are not served: http://localhost:{port}/metrics cannot be had" in log


def test_a_port_is_free_again_at_the_end(nats_url: str, prefix: str) -> None:
    with socket.create_server(("localhost", 0)) as taken:
        port = str(taken.getsockname()[1])
    _, log = _run(nats_url, prefix, OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=port)
    assert log.count(f"metrics are served at http://localhost:{port}/metrics") == 2
    assert "not served" not in log


def test_the_provider_of_a_host_is_left_alone(nats_url: str, prefix: str) -> None:
    with OtlpReceiver() as receiver:
        said, _ = _run(nats_url, prefix, "hosted", OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{receiver.url}/v1/metrics")
    assert said[:2] == _METERED
    assert receiver.metrics == []
    assert "stretto.runs.ended" in "".join(said), "the host's own exporter has it"
