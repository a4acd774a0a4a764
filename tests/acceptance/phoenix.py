"""Phoenix: another party's viewer of traces, in an environment of its own, and what it says that it was sent."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.acceptance.command import wait_until

__all__ = ["Phoenix", "open_phoenix"]

COMMAND: Final = "STRETTO_PHOENIX"
"""Names a `phoenix` that is there already."""
_PACKAGE: Final = "arize-phoenix==20.26.1"
_ENVIRONMENT: Final = Path(__file__).parents[2] / "build" / "phoenix"


@dataclass(frozen=True, slots=True)
class Phoenix:
    """A running Phoenix."""

    url: str

    def spans(self, project: str) -> list[dict[str, Any]]:
        """What its REST API says of a project's spans; nothing while there is no such project."""
        address = f"{self.url}/v1/projects/{project}/spans?limit=1000"
        try:
            with urllib.request.urlopen(address, timeout=10) as reply:  # noqa: S310 (our own server)
                found: list[dict[str, Any]] = json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return []
        return found

    def query(self, text: str) -> dict[str, Any]:
        """What its GraphQL API answers."""
        asked = urllib.request.Request(  # noqa: S310 (our own server)
            f"{self.url}/graphql", json.dumps({"query": text}).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=10) as reply:  # noqa: S310 (our own server)
            answer = json.load(reply)
        assert not answer.get("errors"), answer
        found: dict[str, Any] = answer["data"]
        return found

    def is_up(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as reply:  # noqa: S310 (our own server)
            return bool(reply.status == 200)
        return False


@contextlib.contextmanager
def open_phoenix(folder: Path) -> Iterator[Phoenix]:
    """Serve on loopback with a store in `folder`; it is installed first if need be, which takes a minute and a gigabyte."""
    port, grpc_port = _free_port(), _free_port()
    environment = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [_installed(), "serve"], env=os.environ | environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            phoenix = Phoenix(f"http://127.0.0.1:{port}")

            def is_up() -> bool:
                assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
                return phoenix.is_up()

            wait_until(is_up, "Phoenix is up")
            yield phoenix
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def _installed() -> str:
    if named := os.environ.get(COMMAND):
        return named
    command = _ENVIRONMENT / "bin" / "phoenix"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", _ENVIRONMENT], check=True)
        subprocess.run([_ENVIRONMENT / "bin" / "pip", "install", "--quiet", _PACKAGE], check=True)
    return str(command)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
