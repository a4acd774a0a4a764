"""Running system: a connection to the system that runs now, for commands that only look."""

import contextlib
from collections.abc import AsyncGenerator

from stretto.bus.address import shown
from stretto.bus.connection import Connection
from stretto.bus.server import running
from stretto.cli.errors import NotReachable
from stretto.cli.system import open_system
from stretto.shared.settings import Settings

__all__ = ["connect_to_running", "open_log", "running_url"]


async def running_url(settings: Settings) -> str | None:
    """Where the server of the running system is, None where nothing runs."""
    return settings.nats_url or await running(settings.data_dir)


@contextlib.asynccontextmanager
async def connect_to_running(settings: Settings, *, name: str) -> AsyncGenerator[tuple[Connection, str]]:
    """A connection to the running system, and its URL as it may be shown.

    Raises:
        NotReachable: none runs on the data directory.
        Unreachable, NotPermitted: see `Connection.open`.
    """
    url = await running_url(settings)
    if url is None:
        raise NotReachable(
            f"no system runs on {settings.data_dir}: start one with `stretto up`, or name a server in STRETTO_NATS_URL"
        )
    async with await Connection.open(settings.connection(url, name=name)) as connection:
        yield connection, shown(url)


@contextlib.asynccontextmanager
async def open_log(settings: Settings) -> AsyncGenerator[Connection]:
    """A connection for reading what is stored: to the running system, or to a server alone, started on the same store for that.

    Raises:
        NotReachable: nothing was ever stored there.
        Unreachable, NotPermitted: see `Connection.open`.
    """
    if await running_url(settings) is None and not (settings.data_dir / "nats").is_dir():
        raise NotReachable(f"nothing was asked yet on {settings.data_dir}, and no system runs there")
    async with (
        open_system(settings) as system,
        await Connection.open(settings.connection(system.url, name="runs")) as connection,
    ):
        yield connection
