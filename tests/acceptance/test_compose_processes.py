"""docker-compose.yml without Docker: its commands and variables as local processes, on a nats-server with its configuration."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from stretto.bus.server.binary import find_server

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))[
    "services"
]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "stretto"}
STRETTO = str(Path(sys.executable).with_name("stretto"))
HANDBOOK = """# Refunds

## Deadline

A refund is paid within fourteen days after the returned goods have arrived at the warehouse.

## Exceptions

Gift cards and opened software are not refunded.
"""


@dataclass(frozen=True, slots=True)
class Bus:
    """A local stand-in for the service `nats`."""

    url: str
    monitor: str


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    """nats-server with deploy/nats.conf, but for ports that are free and a store of its own."""
    config = (ROOT / "deploy" / "nats.conf").read_text(encoding="utf-8")
    for there, here in (("4222", "-1"), ("8222", "-1"), ('"/data"', json.dumps(str(tmp_path / "bus")))):
        assert config.count(there) == 1
        config = config.replace(there, here)
    file = tmp_path / "nats.conf"
    file.write_text(f'{config}\nhost: "127.0.0.1"\nports_file_dir: {json.dumps(str(tmp_path))}\n', encoding="utf-8")
    with running([str(find_server()), "-c", str(file)], {}, tmp_path / "nats.log") as server:
        ports = tmp_path / f"{Path(find_server()).name}_{server.pid}.ports"
        wait_until(lambda: ports.is_file() and ports.read_text(encoding="utf-8").rstrip().endswith("}"), server)
        listed = json.loads(ports.read_text(encoding="utf-8"))
        local = Bus(listed["nats"][0], listed["monitoring"][0])
        wait_until(lambda: is_healthy(local), server)
        yield local


def is_healthy(bus: Bus) -> bool:
    """What the service's health check asks."""
    _, _, path = SERVICES["nats"]["healthcheck"]["test"][-1].partition("//")[2].partition("/")
    address = f"{bus.monitor}/{path}"
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2) as reply:  # noqa: S310 (our own server)
        return bool(reply.status == 200)
    return False


def test_the_composed_services_answer_a_question_from_documents(bus: Bus, tmp_path: Path) -> None:
    handbook = tmp_path / "handbook"
    handbook.mkdir()
    (handbook / "refunds.md").write_text(HANDBOOK, encoding="utf-8")

    with contextlib.ExitStack() as stack:
        processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in in_order(OURS):
            for other in set(OURS[name]["depends_on"]) - {"nats"}:
                wait_until(partial(passes_healthcheck, other, bus, tmp_path), *processes.values())
            for copy in range(1, OURS[name].get("deploy", {}).get("replicas", 1) + 1):
                instance = f"{name}-{copy}"
                environment = variables(name, bus, tmp_path / "data" / instance)
                processes[instance] = stack.enter_context(
                    running([STRETTO, *OURS[name]["command"]], environment, tmp_path / f"{instance}.log")
                )
        for name in OURS:
            wait_until(partial(passes_healthcheck, name, bus, tmp_path), *processes.values())

        asked = subprocess.run(
            [STRETTO, "ask", "When is a refund paid?", "--docs", str(handbook), "--json"],
            env=clean_environment() | variables("researcher", bus, tmp_path / "asker"),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert asked.returncode == 0, asked.stderr
        answer = json.loads(asked.stdout)
        assert answer["state"] == "completed"
        assert "within fourteen days" in answer["text"]
        assert answer["citations"]
        assert all(citation["quote"] in HANDBOOK for citation in answer["citations"])
        assert {citation["source"] for citation in answer["citations"]} == {"handbook/refunds.md"}

        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        codes = {
            name: process.wait(timeout=float(OURS["memory"]["stop_grace_period"][:-1]))
            for name, process in processes.items()
        }
        assert codes == dict.fromkeys(processes, 0)


def in_order(services: dict[str, dict[str, Any]]) -> list[str]:
    """The services, each after those that it waits for."""
    done: list[str] = []
    while len(done) < len(services):
        ready = [
            name
            for name, service in services.items()
            if name not in done and all(other in done or other == "nats" for other in service["depends_on"])
        ]
        assert ready, "the services wait for each other in a circle"
        done += ready
    return done


def variables(name: str, bus: Bus, data_dir: Path) -> dict[str, str]:
    """The service's variables, with the addresses of this machine, and the one that the image sets."""
    environment = {variable: as_set(str(value)) for variable, value in SERVICES[name]["environment"].items()}
    return environment | {"STRETTO_NATS_URL": bus.url, "STRETTO_DATA_DIR": str(data_dir)}


def as_set(value: str) -> str:
    """What compose makes of a value where the shell sets nothing: `${NAME:-default}` is the default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def passes_healthcheck(name: str, bus: Bus, folder: Path) -> bool:
    kind, command, *words = SERVICES[name]["healthcheck"]["test"]
    assert (kind, command) == ("CMD", "stretto")
    environment = clean_environment() | variables(name, bus, folder / "data" / f"{name}-1")
    return subprocess.run([STRETTO, *words], env=environment, capture_output=True, timeout=30).returncode == 0


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("STRETTO_")}


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is stopped, and killed if need be, when the block ends; it starts in a folder without settings."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, env=clean_environment() | environment, cwd=log.parent, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until(condition: Callable[[], bool], *processes: subprocess.Popen[bytes], limit_s: float = 60.0) -> None:
    """Ask again and again, as a health check does, for as long as the processes live."""
    give_up_at = time.monotonic() + limit_s
    while not condition():
        dead = [process.args for process in processes if process.poll() is not None]
        assert not dead, f"ended by themselves: {dead}"
        assert time.monotonic() < give_up_at, f"not so after {limit_s:g} s"
        time.sleep(0.05)
