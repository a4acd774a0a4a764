"""Where metrics go: what the standard variables say holds, each part has a port of its own, and what cannot be is said."""

import contextlib
import socket
import subprocess
import sys

import pytest

from stretto.shared.settings import SettingsError
from stretto.shared.telemetry.process_metrics import metering_of
from stretto.shared.telemetry.prometheus import Address, addresses_of_parts, unserved

ON = {"OTEL_METRICS_EXPORTER": "prometheus"}
PORT = "OTEL_EXPORTER_PROMETHEUS_PORT"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
        {**ON, "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"},
    ],
)
def test_metrics_go_nowhere_unless_a_variable_says_where(environ: dict[str, str]) -> None:
    assert metering_of(environ) is None
    assert addresses_of_parts(["memory"], environ) == {}


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        ({"OTEL_METRICS_EXPORTER": "promtheus"}, "OTEL_METRICS_EXPORTER is 'promtheus'"),
        ({**ON, PORT: "65536"}, f"{PORT} is '65536'"),
        ({**ON, PORT: "94.5"}, f"{PORT} is '94.5'"),
        ({**ON, PORT: "web"}, f"{PORT} is 'web'"),
        ({**ON, "OTEL_METRIC_EXPORT_INTERVAL": "0"}, "OTEL_METRIC_EXPORT_INTERVAL is '0'"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "collector"}, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT is 'collector'"),
    ],
)
def test_what_cannot_be_is_an_error_that_names_the_variable(environ: dict[str, str], error: str) -> None:
    with pytest.raises(SettingsError, match=error.replace(".", r"\.")):
        metering_of(environ)


def test_parts_have_ports_one_after_the_other() -> None:
    first = _free_pair()
    found = addresses_of_parts(["memory", "supervisor"], {**ON, PORT: str(first)})
    assert [one.port for one in found.values()] == [first, first + 1]
    assert found["supervisor"].environment == {PORT: str(first + 1)}
    assert str(found["memory"]) == f"http://localhost:{first}/metrics"
    assert {one.port for one in addresses_of_parts(["a", "b"], {**ON, PORT: "0"}).values()} == {0}


def test_a_port_that_is_in_use_or_none_is_said_before_anything_is_started() -> None:
    with (
        socket.create_server(("localhost", 0)) as server,
        pytest.raises(SettingsError, match="cannot be served at http://localhost:"),
    ):
        addresses_of_parts(["memory"], {**ON, PORT: str(server.getsockname()[1])})
    with pytest.raises(SettingsError, match="up to 65536, which is none"):
        addresses_of_parts(["memory", "supervisor"], {**ON, PORT: "65535"})


def test_an_address_of_six_is_written_as_in_urls() -> None:
    assert str(Address("::1", 9464)) == "http://[::1]:9464/metrics"


def test_what_lives_for_one_question_serves_nothing() -> None:
    assert unserved({}) == {}
    assert unserved({"OTEL_METRICS_EXPORTER": "otlp"}) == {}
    assert unserved(ON) == {"OTEL_METRICS_EXPORTER": "none"}
    assert unserved({"OTEL_METRICS_EXPORTER": "otlp, Prometheus"}) == {"OTEL_METRICS_EXPORTER": "otlp"}


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.exporter.prometheus'] = None\n"
        "from stretto.shared.telemetry.process_metrics import metering_of\n"
        "metering_of({'OTEL_METRICS_EXPORTER': 'prometheus'})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert 'pip install "stretto[prometheus]"' in ended.stderr.splitlines()[-1]
    assert "SettingsError" in ended.stderr.splitlines()[-1]


def _free_pair() -> int:
    """The first of two ports, one behind the other, that are free."""
    while True:
        with socket.create_server(("localhost", 0)) as one:
            first: int = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError), socket.create_server(("localhost", first + 1)):
                return first
