"""Process: what every service's main has in common: settings, connection, name, and stopping on a signal."""

import asyncio
import contextlib
import logging
import os
import re
import secrets
import signal
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.streams import Deployment
from stretto.bus.wire import Wire
from stretto.shared.memory.client import MemoryClient
from stretto.shared.settings import Settings

__all__ = ["Process", "Service", "host_token", "open_process", "serve"]

_log = logging.getLogger(__name__)
_SERVER_WAIT_S = 30.0


class Service(Protocol):
    """What a process runs."""

    async def run(self) -> None:
        """Serve until `stop`, then finish what is in hand."""
        ...

    def stop(self) -> None:
        """Take in no more."""
        ...


@dataclass(frozen=True, slots=True)
class Process:
    """One process's place on the bus.

    Attributes:
        instance: its name among all processes of the deployment.
    """

    settings: Settings
    instance: str
    connection: Connection
    deployment: Deployment
    artifacts: Artifacts
    wire: Wire

    def memory_of(self, tenant: str, *, patience_s: float = 0.0) -> MemoryClient:
        """A tenant's memory, over the bus; `patience_s` is how long it may be served by nobody."""
        return MemoryClient(
            connection=self.connection,
            subjects=self.deployment.subjects,
            wire=self.wire,
            tenant=tenant,
            sender=self.instance,
            patience_s=patience_s,
        )


@contextlib.asynccontextmanager
async def open_process(settings: Settings, role: str, *, url: str | None = None) -> AsyncGenerator[Process]:
    """Connect as a process of `role`; wait for a server that is still starting.

    Raises:
        Unreachable, NotPermitted, Misconfigured: see `Connection.open`.
    """
    deployment = settings.deployment
    address = url or settings.nats_url or "nats://127.0.0.1:4222"
    async with await Connection.open(settings.connection(address, name=role, wait_s=_SERVER_WAIT_S)) as connection:
        artifacts = Artifacts(connection=connection, subjects=deployment.subjects)
        yield Process(
            settings=settings,
            instance=_instance(role),
            connection=connection,
            deployment=deployment,
            artifacts=artifacts,
            wire=Wire(artifacts=artifacts),
        )


async def serve(*services: Service, grace_s: float) -> None:
    """Run services until they end or a signal comes.

    The first SIGTERM or SIGINT stops intake and lets what is in hand finish within `grace_s`; then, or at a second signal, it is
    cancelled: unacknowledged messages come to other processes.
    """
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    running = asyncio.ensure_future(_run_all(services))
    try:
        waiting = asyncio.ensure_future(signals.get())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not running.done():
            _log.info("stopping: no more is taken in")
            for service in services:
                service.stop()
            second = asyncio.ensure_future(signals.get())
            await asyncio.wait({running, second}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
            second.cancel()
        if not running.done():
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        else:
            running.result()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        running.cancel()


async def _run_all(services: tuple[Service, ...]) -> None:
    async with asyncio.TaskGroup() as group:
        for service in services:
            group.create_task(service.run())


def host_token() -> str:
    """This host's name as it stands in instance names."""
    return re.sub(r"[^a-z0-9-]", "-", socket.gethostname().lower())[:24] or "host"


def _instance(role: str) -> str:
    return f"{role[:20]}-{host_token()}-{os.getpid()}-{secrets.token_hex(2)}"
