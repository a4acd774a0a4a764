"""The standard variables of OpenTelemetry: what they say holds, and what cannot be is an error that names the variable."""

from pathlib import Path

import pytest

from stretto.shared.settings import SettingsError
from stretto.shared.telemetry.otlp import check_otlp, endpoint_of, exporters_of
from stretto.shared.telemetry.process_tracing import name_of_part, tracing_of
from stretto.shared.telemetry.sampler import sampler_of
from stretto.shared.telemetry.span_queue import QueueLimits
from stretto.shared.telemetry.tracing import Tracing

_TO = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "exporters"),
    [
        ({}, ()),
        ({_TO: ""}, ()),
        ({_TO: "http://collector:4318"}, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318/v1/metrics"}, ()),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "none", _TO: "http://collector:4318"}, ()),
        ({"OTEL_TRACES_EXPORTER": "Console, otlp", _TO: "http://collector:4318"}, ("console", "otlp")),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, ()),
    ],
)
def test_spans_go_only_where_they_are_asked_for(environ: dict[str, str], exporters: tuple[str, ...]) -> None:
    assert exporters_of("traces", environ) == exporters


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({}, "localhost:4318"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "localhost:4317"),
        ({_TO: "https://someone:hush@collector.example:443/otel"}, "collector.example:443"),
        ({_TO: "collector:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "collector:4317"),
    ],
)
def test_an_endpoint_is_shown_without_its_secrets(environ: dict[str, str], shown: str) -> None:
    assert endpoint_of("traces", environ) == shown


def test_what_is_said_of_traces_goes_before_what_is_said_of_all() -> None:
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    assert (check_otlp("traces", environ), check_otlp("metrics", environ)) == ("http/protobuf", "grpc")


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin': use otlp, console or none"),
        ({_TO: "collector:4318"}, f"{_TO} is 'collector:4318': use an address such as http://localhost:4318"),
        ({_TO: "http://collector:port"}, f"{_TO} is 'http://collector:port'"),
        ({_TO: "http://someone:hush@collector:port"}, f"{_TO} is 'http://collector:port'"),
        ({_TO: "https://"}, f"{_TO} is 'https://'"),
        (
            {_TO: "http://x:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json': use grpc or http/protobuf",
        ),
        (
            {_TO: "http://x:1", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "ten"},
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT is 'ten': use a number, at least",
        ),
        (
            {_TO: "http://x:1", "OTEL_EXPORTER_OTLP_COMPRESSION": "zip"},
            "OTEL_EXPORTER_OTLP_COMPRESSION is 'zip': use gzip, deflate or none",
        ),
        (
            {_TO: "http://x:1", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem"},
            "OTEL_EXPORTER_OTLP_CERTIFICATE is '/nowhere/ca.pem': there is no such file",
        ),
        ({"OTEL_TRACES_SAMPLER": "some"}, "OTEL_TRACES_SAMPLER is 'some': use always_on,"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10%"},
            "OTEL_TRACES_SAMPLER_ARG is '10%': use a number, from 0 to 1",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"},
            "OTEL_TRACES_SAMPLER_ARG is '7': use a number, from 0 to 1",
        ),
        ({"OTEL_BSP_SCHEDULE_DELAY": "soon"}, "OTEL_BSP_SCHEDULE_DELAY is 'soon': use a number, at least 1"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "OTEL_BSP_MAX_QUEUE_SIZE is '0': use a number, at least 1"),
        (
            {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "11"},
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE is '11': use a number, from 1 to 10",
        ),
    ],
)
def test_what_cannot_be_is_an_error_that_says_what_would_be_right(environ: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Tracing.of(environ)
    assert says in str(raised.value)
    assert "hush" not in str(raised.value)


def test_headers_that_cannot_be_read_are_not_shown() -> None:
    with pytest.raises(SettingsError) as raised:
        Tracing.of({_TO: "http://x:1", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic abc,hush hush"})
    assert "OTEL_EXPORTER_OTLP_HEADERS cannot be read" in str(raised.value)
    assert "hush" not in str(raised.value)


def test_what_is_said_of_exporters_matters_only_where_there_is_one() -> None:
    assert exporters_of("traces", {"OTEL_EXPORTER_OTLP_TIMEOUT": "ten"}) == ()


def test_a_whole_set_of_variables_is_fine(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    tracing = Tracing.of(
        {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector.example/v1/traces",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20dXNlcjo=, x-scope = some one",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem"),
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.25",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        }
    )
    assert tracing.queue_limits == QueueLimits(delay_s=0.25, spans=100, batch=100)
    assert "0.25" in tracing.sampler.get_description()
    assert tracing.exporters == ("otlp",)


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("", "ParentBased{root:AlwaysOnSampler"),
        ("always_off", "AlwaysOffSampler"),
        ("ParentBased_Always_Off", "ParentBased{root:AlwaysOffSampler"),
        ("traceidratio", "TraceIdRatioBased{1.0}"),
    ],
)
def test_the_sampler_is_the_one_that_is_named(name: str, description: str) -> None:
    assert sampler_of({"OTEL_TRACES_SAMPLER": name}).get_description().startswith(f"RunSampler{{{description}")


def test_nothing_is_set_up_where_the_sdk_is_disabled_not_even_what_cannot_be() -> None:
    assert tracing_of({"OTEL_SDK_DISABLED": "True", "OTEL_TRACES_EXPORTER": "zipkin"}) is None


@pytest.mark.parametrize(
    ("environ", "added"),
    [
        ({}, {}),
        ({"OTEL_SERVICE_NAME": "acme"}, {"OTEL_SERVICE_NAME": "acme-writer"}),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "team=x,service.name=ac%20me"},
            {"OTEL_SERVICE_NAME": "ac me-writer"},
        ),
        (
            {"OTEL_SERVICE_NAME": "acme", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other"},
            {"OTEL_SERVICE_NAME": "acme-writer"},
        ),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.namespace=acme"}, {}),
    ],
)
def test_the_parts_of_a_system_that_has_a_name_have_each_a_name_of_their_own(
    environ: dict[str, str], added: dict[str, str]
) -> None:
    assert name_of_part("writer", environ) == added
