"""docker-compose.yml and the Dockerfile: what the schema cannot know, held against the code."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from stretto.shared.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OTHERS = ("nats", "collector", "jaeger")
OURS = {name: service for name, service in SERVICES.items() if name not in OTHERS}
TRACING = {name: service for name, service in SERVICES.items() if service.get("profiles") == ["tracing"]}
COLLECTOR: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "collector.yaml").read_text(encoding="utf-8"))
KNOWN = {"receivers": {"otlp"}, "processors": {"memory_limiter"}, "exporters": {"otlp_grpc", "prometheus"}}
"""What we use of the components that the collector's core distribution has (distributions/otelcol/manifest.yaml of its releases)."""
COMMANDS = {name: service["command"] for name, service in OURS.items()} | {
    f"{name} healthcheck": service["healthcheck"]["test"][2:] for name, service in OURS.items()
}


def nats_conf() -> str:
    return (ROOT / "deploy" / "nats.conf").read_text(encoding="utf-8")


def test_it_is_a_compose_file() -> None:
    check = Path(sys.executable).with_name("check-jsonschema")
    ran = subprocess.run(
        [check, "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout


def test_every_part_of_the_house_is_a_service() -> None:
    copies = {name: service.get("deploy", {}).get("replicas", 1) for name, service in SERVICES.items()}
    assert copies == {
        "nats": 1,
        "memory": 1,
        "supervisor": 2,
        "researcher": 2,
        "writer": 1,
        "reviewer": 1,
        "escalation": 1,
        "collector": 1,
        "jaeger": 1,
    }


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_who_is_waited_for_until_healthy_has_a_healthcheck(service: dict[str, Any]) -> None:
    for name, condition in service.get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_every_command_is_one_of_ours(words: list[str]) -> None:
    from stretto.cli.app import app

    command = get_command(app)
    rest = list(words)
    while isinstance(command, TyperGroup):
        command = command.commands[rest.pop(0)]
    assert command.make_context("stretto", rest).args == []


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_every_variable_is_a_setting_with_a_fitting_value(service: dict[str, Any]) -> None:
    values = {
        name.removeprefix("STRETTO_").lower(): value
        for name, value in service["environment"].items()
        if not name.startswith("OTEL_")
    }
    assert set(values) <= set(Settings.model_fields)
    assert Settings(**values).model_fields_set >= set(values)


def test_every_healthcheck_asks_for_the_role_that_its_service_runs() -> None:
    asked = {name: service["healthcheck"]["test"][1:] for name, service in OURS.items()}
    assert asked == {name: ["stretto", "healthcheck", name] for name in OURS}
    assert [service["command"][-1] for name, service in OURS.items() if service["command"][0] == "agent"] == [
        name for name, service in OURS.items() if service["command"][0] == "agent"
    ]


def test_every_address_is_one_that_the_bus_listens_on() -> None:
    port = re.search(r"^port: (\d+)$", nats_conf(), re.MULTILINE)
    monitor = re.search(r'^http: "([\d.:]+)"$', nats_conf(), re.MULTILINE)
    assert port is not None
    assert monitor is not None
    assert {service["environment"]["STRETTO_NATS_URL"] for service in OURS.values()} == {f"nats://nats:{port[1]}"}
    assert SERVICES["nats"]["ports"] == [f"127.0.0.1:{port[1]}:{port[1]}"]
    assert urlsplit(SERVICES["nats"]["healthcheck"]["test"][-1]).netloc == monitor[1]


def test_every_volume_is_declared_and_every_mounted_file_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_bus_keeps_its_store_on_its_volume_and_syncs_it() -> None:
    store = re.search(r'^  store_dir: "(.+)"$', nats_conf(), re.MULTILINE)
    assert store is not None
    assert f"nats-data:{store[1]}" in SERVICES["nats"]["volumes"]
    assert "sync_interval: always" in nats_conf()


def test_nothing_of_tracing_runs_and_nothing_is_exported_unless_asked_for() -> None:
    assert set(TRACING) == {"collector", "jaeger"}
    assert [name for name, service in SERVICES.items() if service.get("profiles") and name not in TRACING] == []
    exported = {service["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] for service in OURS.values()}
    assert exported == {"${OTEL_EXPORTER_OTLP_ENDPOINT:-}"}
    assert not any(set(service.get("depends_on", {})) & set(TRACING) for service in SERVICES.values())


def test_who_asks_for_tracing_exports_to_the_collector() -> None:
    lines = (ROOT / "deploy" / "tracing.env").read_text(encoding="utf-8").splitlines()
    said = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert said["COMPOSE_PROFILES"] == "tracing"
    address = urlsplit(said["OTEL_EXPORTER_OTLP_ENDPOINT"])
    assert address.hostname in TRACING
    assert COLLECTOR["receivers"]["otlp"]["protocols"]["http"]["endpoint"] == f"0.0.0.0:{address.port}"


def test_the_collector_hands_traces_on_to_jaeger_by_components_that_it_has() -> None:
    for kind, known in KNOWN.items():
        assert set(COLLECTOR[kind]) == known
    pipelines = COLLECTOR["service"]["pipelines"]
    assert set(pipelines) == {"traces", "metrics"}
    for pipeline in pipelines.values():
        for kind, names in pipeline.items():
            assert set(names) <= set(COLLECTOR[kind]), "each is declared"
    host, _, port = COLLECTOR["exporters"]["otlp_grpc"]["endpoint"].partition(":")
    assert host in TRACING
    assert port == "4317", "where Jaeger takes OTLP over gRPC"
    (mounted,) = [volume for volume in TRACING["collector"]["volumes"] if volume.startswith("./deploy/collector.yaml:")]
    assert TRACING["collector"]["command"] == [f"--config={mounted.split(':')[1]}"]


def test_what_tracing_adds_is_pinned_and_listens_on_loopback_only() -> None:
    for service in TRACING.values():
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_a_service_is_given_longer_to_stop_than_it_takes() -> None:
    for service in OURS.values():
        assert float(service["stop_grace_period"].removesuffix("s")) > float(service["environment"]["STRETTO_GRACE_S"])


def test_the_image_copies_what_is_there_and_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    let_in = {
        one[1:] for one in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if one.startswith("!")
    }
    copied = {source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]}
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)
    assert next(line for line in reversed(lines) if line.startswith("USER ")) == "USER stretto"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extra,) = [line.partition("=")[2] for line in lines if line.startswith("ARG EXTRA=")]
    assert extra in project["optional-dependencies"]
    (data_dir,) = [line.partition("=")[2] for line in lines if "STRETTO_DATA_DIR=" in line]
    assert f"memory-data:{data_dir}" in SERVICES["memory"]["volumes"]
