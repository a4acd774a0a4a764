"""Process: what every service's main has in common: settings, connection, name, and stopping on a signal."""

import asyncio
import contextlib
import logging
import os
import re
import secrets
import signal
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.streams import Deployment
from stretto.bus.wire import Wire
from stretto.shared.memory.client import MemoryClient
from stretto.shared.money.books import Books
from stretto.shared.money.price_book import PriceBook
from stretto.shared.settings import Settings
from stretto.shared.telemetry.logs import name_process
from stretto.shared.telemetry.process_metrics import metering_of
from stretto.shared.telemetry.process_tracing import leave_off, tracing_of

__all__ = ["Process", "Service", "host_token", "open_process", "serve"]

_log = logging.getLogger(__name__)
_SERVER_WAIT_S = 30.0
_UNWIND_S = 6.0
"""How long cancelled services have to give back what they have in hand, and to close: handlers and the connection take two each."""


class Service(Protocol):
    """What a process runs."""

    async def run(self) -> None:
        """Serve until `stop`, then finish what is in hand. Cancelled, give it back."""
        ...

    def stop(self) -> None:
        """Take in no more."""
        ...


@dataclass(frozen=True, slots=True)
class Process:
    """One process's place on the bus.

    Attributes:
        instance: its name among all processes of the deployment.
        prices: what models cost.
        books: the ledgers of budgets, for all agents of the process.
    """

    settings: Settings
    instance: str
    connection: Connection
    deployment: Deployment
    artifacts: Artifacts
    wire: Wire
    prices: PriceBook
    books: Books

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
    """Connect as a process of `role`, and have its spans recorded and its metrics told; wait for a server that is still starting.

    Raises:
        SettingsError: a standard variable of OpenTelemetry says what cannot be.
        Unreachable, NotPermitted, Misconfigured: see `Connection.open`.
    """
    deployment = settings.deployment
    address = url or settings.nats_url or "nats://127.0.0.1:4222"
    instance = _instance(role)
    name_process(role, instance)
    tracing, metering = tracing_of(), metering_of()
    async with await Connection.open(settings.connection(address, name=role, wait_s=_SERVER_WAIT_S)) as connection:
        artifacts = Artifacts(connection=connection, subjects=deployment.subjects)
        wire = Wire(artifacts=artifacts)
        prices = PriceBook(settings.prices, providers=settings.providers)
        books = Books(
            connection=connection,
            deployment=deployment,
            wire=wire,
            sender=instance,
            prices=prices,
            tenant_budgets=settings.tenant_budgets,
        )
        async with AsyncExitStack() as stack:
            if tracing is None:
                leave_off()
            else:
                await stack.enter_async_context(
                    tracing.open(connection, subjects=deployment.subjects, service=role, instance=instance)
                )
            if metering is not None:
                await stack.enter_async_context(metering.open(service=role, instance=instance))
            await stack.enter_async_context(books)
            yield Process(
                settings=settings,
                instance=instance,
                connection=connection,
                deployment=deployment,
                artifacts=artifacts,
                wire=wire,
                prices=prices,
                books=books,
            )


async def serve(
    opening: AbstractAsyncContextManager[Sequence[Service]], *, grace_s: float, told: asyncio.Event | None = None
) -> bool:
    """Open services and run them until they end or a signal comes; True if all of them have ended then.

    The first SIGTERM or SIGINT ends their opening, or stops their intake and lets what is in hand finish within `grace_s`. Then, or at
    a second signal, work is cancelled and its messages are given back to other processes. What is left of a service a few seconds after
    that is left behind: False. Setting `told` does what the first signal does.
    """
    loop = asyncio.get_running_loop()
    told, hurried = told or asyncio.Event(), asyncio.Event()
    in_order = iter((told, hurried))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: next(in_order, hurried).set())
    opened: list[Service] = []
    running = asyncio.ensure_future(_run(opening, opened))
    try:
        await _first_of(running, told)
        if not running.done() and opened:
            _log.info("stopping: no more is taken in")
            for service in opened:
                service.stop()
            await _first_of(running, hurried, limit_s=grace_s)
        if not running.done():
            running.cancel()
            await asyncio.wait({running}, timeout=_UNWIND_S)
        if not running.done():
            _log.error("something goes on though it was cancelled: it is left behind")
        elif not running.cancelled():
            running.result()
        return running.done()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        running.cancel()


async def _run(opening: AbstractAsyncContextManager[Sequence[Service]], opened: list[Service]) -> None:
    async with opening as services:
        opened += services
        async with asyncio.TaskGroup() as group:
            for service in services:
                group.create_task(service.run())


async def _first_of(running: asyncio.Future[None], event: asyncio.Event, *, limit_s: float | None = None) -> None:
    waiting = asyncio.ensure_future(event.wait())
    both: tuple[asyncio.Future[Any], ...] = (running, waiting)
    try:
        await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def host_token() -> str:
    """This host's name as it stands in instance names."""
    return re.sub(r"[^a-z0-9-]", "-", socket.gethostname().lower())[:24] or "host"


def _instance(role: str) -> str:
    return f"{role[:20]}-{host_token()}-{os.getpid()}-{secrets.token_hex(2)}"
