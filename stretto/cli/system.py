"""System: the running system, or one of our own for as long as a command takes."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from stretto.bus.errors import Misconfigured, StoreLocked, Unreachable
from stretto.bus.server import EmbeddedServer, ServerOptions, running
from stretto.bus.server.owner import owner_pid
from stretto.cli.errors import PartFailed, SystemGone
from stretto.cli.part import Part
from stretto.shared.settings import Settings
from stretto.shared.telemetry.prometheus import unserved

__all__ = ["MEMORY", "TEAM", "System", "open_system", "server_options"]

_log = logging.getLogger(__name__)

MEMORY: Final = "memory"
TEAM: Final = "team"
_COMMANDS: Final[Mapping[str, Sequence[str]]] = {MEMORY: ("memory", "run"), TEAM: ("team", "run")}
_SERVER_RESTARTS: Final = 5
_TAKE_OVER_S: Final = 10.0
_LOOK_S: Final = 0.5
_GRACE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class System:
    """A system that answers.

    Attributes:
        url: of its server.
        own: it was started for this command and ends with it.
    """

    url: str
    own: bool


@contextlib.asynccontextmanager
async def open_system(
    settings: Settings, *parts: str, on_start: Callable[[str], None] = lambda _: None
) -> AsyncGenerator[System]:
    """The running system; where there is none, one with these parts (MEMORY, TEAM) for as long as the block takes.

    `on_start` is told what is being started.

    Raises:
        ServerMissing, ServerTooOld, StoreLocked, Misconfigured: the embedded server cannot be started.
        PartFailed: a part of our own system ended; raised within the block, in a group.
        SystemGone: the system on our data directory, which was another's, has stopped; raised likewise.
    """
    if settings.nats_url is not None:
        yield System(settings.nats_url, own=False)
        return
    async with contextlib.AsyncExitStack() as stack:
        url = await running(settings.data_dir)
        if url is None:
            on_start(f"no system is running: starting one on {settings.data_dir}")
            try:
                system = await stack.enter_async_context(_own_system(settings, parts))
            except StoreLocked:
                # Another command was first. Its system is as good, once it answers.
                url = await _answering(settings)
                system = await stack.enter_async_context(_others_system(settings, url))
        else:
            system = await stack.enter_async_context(_others_system(settings, url))
        yield system


def server_options(settings: Settings) -> ServerOptions:
    """The embedded server's options."""
    return ServerOptions(data_dir=settings.data_dir, sync_always=settings.sync_always, binary=settings.nats_server)


async def _answering(settings: Settings) -> str:
    give_up_at = asyncio.get_running_loop().time() + _TAKE_OVER_S
    while (url := await running(settings.data_dir)) is None:
        if asyncio.get_running_loop().time() > give_up_at:
            raise StoreLocked(
                f"another process uses {settings.data_dir} but no system answers there: stop it (`stretto down`), or choose another "
                "data directory"
            )
        await asyncio.sleep(0.1)
    return url


@contextlib.asynccontextmanager
async def _others_system(settings: Settings, url: str) -> AsyncGenerator[System]:
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch_owner(settings, owner_pid(settings.data_dir)))
        try:
            yield System(url, own=False)
        finally:
            watching.cancel()


async def _watch_owner(settings: Settings, pid: int | None) -> NoReturn:
    """The owner may be another `ask`, whose system ends with its own answer."""
    while owner_pid(settings.data_dir) == pid:  # noqa: ASYNC110 (another process's lock has no event)
        await asyncio.sleep(_LOOK_S)
    raise SystemGone(f"the system that ran on {settings.data_dir} has stopped")


@contextlib.asynccontextmanager
async def _own_system(settings: Settings, names: Sequence[str]) -> AsyncGenerator[System]:
    async with contextlib.AsyncExitStack() as stack:
        # First the server: it holds the lock that keeps other systems off this data directory.
        server = await stack.enter_async_context(EmbeddedServer(server_options(settings)))
        parts: list[Part] = []
        stack.push_async_callback(_stop, parts)
        try:
            for name in names:
                log = settings.data_dir / "logs" / f"{name}.log"
                parts.append(
                    await Part.start(name, _COMMANDS[name], url=server.url, log=log, environment=unserved(os.environ))
                )
        except OSError as error:
            raise _unusable(settings, error) from error
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(_watch(part)) for part in parts]
            watching.append(group.create_task(_keep(server)))
            try:
                yield System(server.url, own=True)
            finally:
                for watch in watching:
                    watch.cancel()


async def _stop(parts: Sequence[Part]) -> None:
    """The last first: who works on another's question must not miss the memory."""
    for part in reversed(parts):
        await part.stop(grace_s=_GRACE_S)


async def _watch(part: Part) -> NoReturn:
    code = await part.wait()
    why = part.last_words() or f"exit code {code}"
    raise PartFailed(f"{part.name} ended: {why} (its log: {part.log})", exit_code=code if code in (1, 2, 3) else 1)


async def _keep(server: EmbeddedServer) -> NoReturn:
    """A server that dies is started again on its store: nothing that was accepted is lost."""
    for _ in range(_SERVER_RESTARTS):
        code = await server.wait()
        _log.warning("nats-server ended (%s): it is started again", code)
        await server.restart()
    raise Unreachable(f"nats-server ended {_SERVER_RESTARTS} times: its log {server.log} says why")


def _unusable(settings: Settings, error: OSError) -> Misconfigured:
    return Misconfigured(f"the data directory {settings.data_dir} cannot be used: {error.strerror or error}")
