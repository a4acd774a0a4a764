"""Detach: `up` in the background."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from typing import Final

from stretto.bus.connection import Connection
from stretto.bus.server import running
from stretto.bus.server.owner import owner_pid
from stretto.cli.errors import ExitCode, PartFailed
from stretto.cli.part import last_line
from stretto.cli.ready import OWN_WAIT_S, wait_until_served
from stretto.cli.terminal import say
from stretto.cli.up import PARTS
from stretto.shared.settings import Settings

__all__ = ["up_detached"]

_POLL_S: Final = 0.05


async def up_detached(settings: Settings) -> int:
    """Start `stretto up` in the background; return when all its parts are there.

    Raises:
        PartFailed: it ended; the text says why.
        NotReachable: it runs, but not all its parts came up in time.
    """
    log = settings.data_dir / "logs" / "up.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    except OSError as error:
        raise PartFailed(
            f"the data directory {settings.data_dir} cannot be used: {error.strerror or error}",
            exit_code=ExitCode.NOT_REACHABLE,
        ) from error
    with output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "stretto", "up"),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=output,
            start_new_session=True,
        )
    while (url := await running(settings.data_dir)) is None or owner_pid(settings.data_dir) != process.pid:
        if process.returncode is not None:
            raise PartFailed(
                last_line(log) or f"`up` ended with exit code {process.returncode}", exit_code=process.returncode
            )
        await asyncio.sleep(_POLL_S)
    roles = [name for name, _ in PARTS]
    async with await Connection.open(settings.connection(url, name="up", wait_s=5.0)) as connection:
        await wait_until_served(connection, settings.deployment.subjects, *roles, timeout_s=OWN_WAIT_S)
    say(f"stretto is up at {url} (process {process.pid}, log {log}): stop it with `stretto down`")
    return ExitCode.OK
