"""Servers: nats-server processes of a test's own, one or a cluster of three, that can be killed and come back on their store."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stretto.bus.server.binary import find_server

__all__ = ["Server", "Servers"]

READY_S = 30.0


class Server:
    """One nats-server. It keeps its ports and its store from one start to the next."""

    def __init__(self, folder: Path, name: str, *, settings: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.name = name
        self.port, self.monitor, self.cluster_port = _free_ports(3)
        self._settings = settings or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server has not been started"
        return self._process

    def start(self, others: list["Server"] | None = None, **jetstream: Any) -> None:
        """Start it, as a member of a cluster where there are `others`; `jetstream` are settings of the store."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "server_name": self.name,
            "listen": f"127.0.0.1:{self.port}",
            "http": f"127.0.0.1:{self.monitor}",
            "jetstream": {"store_dir": str(self.folder / "store"), "sync_interval": "always", **jetstream},
            **self._settings,
        }
        if others:
            routes = [f"nats://127.0.0.1:{other.cluster_port}" for other in others]
            config["cluster"] = {"name": "chaos", "listen": f"127.0.0.1:{self.cluster_port}", "routes": routes}
        file = self.folder / "nats.conf"
        file.write_text(json.dumps(config), encoding="utf-8")
        with (self.folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen([find_server(), "-c", file], stdout=log, stderr=log)

    def kill(self) -> None:
        """As if its machine had lost its power, but for what lay in the kernel's hands."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()

    def ask(self, path: str) -> dict[str, Any]:
        """What its monitoring port says; nothing while it does not answer."""
        with (
            contextlib.suppress(OSError, ValueError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/{path}", timeout=2) as reply,
        ):
            found: dict[str, Any] = json.load(reply)
            return found
        return {}

    async def ready(self) -> None:
        """Wait until its store is open to clients."""
        await _until(lambda: self.ask("healthz").get("status") == "ok", f"{self.name} is healthy")


class Servers:
    """The bus of one system."""

    def __init__(self, folder: Path, *, nodes: int = 1, settings: dict[str, Any] | None = None) -> None:
        self.nodes = [Server(folder / f"n{number}", f"n{number}", settings=settings) for number in range(nodes)]

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    @property
    def first(self) -> Server:
        return self.nodes[0]

    def start(self, **jetstream: Any) -> None:
        for node in self.nodes:
            self.restart(node, **jetstream)

    def restart(self, node: Server, **jetstream: Any) -> None:
        """Start a node that is down."""
        node.start([other for other in self.nodes if other is not node], **jetstream)

    async def ready(self) -> None:
        """Wait until every node serves, and knows of all others."""
        for node in self.nodes:
            await node.ready()
        if len(self.nodes) > 1:
            await _until(self._has_leader, "the cluster has a leader that sees everybody")

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def _has_leader(self) -> bool:
        for node in self.nodes:
            meta = node.ask("jsz").get("meta_cluster", {})
            replicas = meta.get("replicas", [])
            if len(replicas) == len(self.nodes) - 1 and all(one.get("current") for one in replicas):
                return True
        return False


async def _until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(READY_S):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (it is another process that changes it)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not so within {READY_S:g} s: {what}") from None


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]
