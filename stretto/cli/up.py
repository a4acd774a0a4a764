"""Up: the whole system on this machine, each part a process of its own, kept alive until told to stop."""

import asyncio
import os
from collections.abc import Sequence
from typing import Final

from stretto.bus.address import shown
from stretto.bus.connection import Connection
from stretto.bus.errors import BusError
from stretto.bus.server import EmbeddedServer
from stretto.cli.agents import TEAM
from stretto.cli.backoff import Backoff
from stretto.cli.errors import NotReachable, UsageFailed
from stretto.cli.interrupt import on_interrupt
from stretto.cli.keeper import KeptPart, KeptServer
from stretto.cli.ready import OWN_WAIT_S, wait_until_served
from stretto.cli.system import server_options
from stretto.cli.up_view import UpView, up_view
from stretto.shared.settings import Settings
from stretto.shared.telemetry.process_metrics import metering_of
from stretto.shared.telemetry.process_tracing import tracing_of
from stretto.shared.telemetry.prometheus import addresses_of_parts

__all__ = ["PARTS", "up"]

PARTS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("memory", ("memory", "run")),
    ("supervisor", ("supervisor", "run")),
    *((role, ("agent", "run", role)) for role in TEAM),
)
"""What a system is made of beside its server, in the order in which it is started."""


async def up(settings: Settings) -> int:
    """Run the system until a signal comes.

    Raises:
        UsageFailed: the settings name a server of their own.
        SettingsError: a standard variable of OpenTelemetry says what cannot be, or metrics cannot be served where it says.
        StoreLocked, ServerMissing, ServerTooOld, Misconfigured: the embedded server cannot be started.
    """
    if settings.nats_url is not None:
        raise UsageFailed(
            f"`up` runs a server of its own, but the setting nats_url names {shown(settings.nats_url)}: unset it, or "
            "start the services there one by one (`stretto supervisor run`, `stretto memory run`, `stretto agent run NAME`)"
        )
    tracing_of()  # before each part says what is wrong with the environment
    metering_of()
    addresses = addresses_of_parts([name for name, _ in PARTS], os.environ)
    stopping = asyncio.Event()

    def stop() -> None:
        """The first signal stops the parts in order; a second one takes their grace periods."""
        for part in parts if stopping.is_set() else ():
            part.hurry()
        stopping.set()

    async with EmbeddedServer(server_options(settings)) as server:
        view = up_view(server.url, settings.data_dir)
        logs = settings.data_dir / "logs"
        kept = KeptServer(server, tell=view.tell, backoff=Backoff())
        parts = [
            KeptPart(
                name,
                command,
                url=server.url,
                log=logs / f"{name}.log",
                tell=view.tell,
                backoff=Backoff(),
                metrics=addresses.get(name),
            )
            for name, command in PARTS
        ]
        try:
            with on_interrupt(stop), view.showing([kept, *parts]):
                await _keep(settings, server.url, kept, parts, view, stopping)
                view.tell("stopping")
                await _stop(parts, settings.grace_s)
        finally:
            await _stop(parts, 0.0)  # harmless for those that have ended
    return 0


async def _keep(
    settings: Settings, url: str, server: KeptServer, parts: Sequence[KeptPart], view: UpView, stopping: asyncio.Event
) -> None:
    async with asyncio.TaskGroup() as group:
        keeping = [group.create_task(kept.run()) for kept in (server, *parts)]
        telling = group.create_task(_tell_when_ready(settings, url, view))
        await stopping.wait()
        for task in (telling, *keeping):
            task.cancel()


async def _tell_when_ready(settings: Settings, url: str, view: UpView) -> None:
    subjects = settings.deployment.subjects
    roles = [name for name, _ in PARTS]
    try:
        async with await Connection.open(settings.connection(url, name="up", wait_s=5.0)) as connection:
            await wait_until_served(connection, subjects, *roles, timeout_s=OWN_WAIT_S)
    except (BusError, NotReachable) as error:  # what is missing is being started again
        view.tell(str(error))
    else:
        view.tell("ready: ask with `stretto ask`, stop with Control-C or `stretto down`")


async def _stop(parts: Sequence[KeptPart], grace_s: float) -> None:
    """Agents first, so that what they have in hand is still merged; then the supervisor; then the memory."""
    agents = [part for part in parts if part.name in TEAM]
    others = [part for part in reversed(parts) if part.name not in TEAM]
    async with asyncio.TaskGroup() as group:
        for part in agents:
            group.create_task(part.stop(grace_s=grace_s))
    for part in others:
        await part.stop(grace_s=grace_s)
