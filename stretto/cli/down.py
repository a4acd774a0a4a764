"""Down: stops the system that runs on this data directory."""

import asyncio
import os
import signal
from typing import Final

from stretto.bus.server.owner import owner_pid
from stretto.cli.errors import CliError, ExitCode, NotReachable
from stretto.cli.terminal import say
from stretto.shared.settings import Settings

__all__ = ["down"]

_POLL_S: Final = 0.05
_BEYOND_GRACE_S: Final = 20.0


async def down(settings: Settings) -> int:
    """Ask the owner of the data directory to stop, and wait until it has.

    Raises:
        NotReachable: nobody runs a system there.
        CliError: it does not stop, or belongs to another user.
    """
    # The note stands in a lock that its owner holds, so the process lives and is a system of ours, whatever pid files elsewhere say.
    pid = owner_pid(settings.data_dir)
    if pid is None:
        raise NotReachable(f"no system runs on {settings.data_dir}")
    try:
        os.kill(pid, signal.SIGTERM)
    except (PermissionError, ProcessLookupError) as error:
        raise CliError(f"process {pid}, which runs the system, cannot be told to stop: {error.strerror}") from error
    try:
        async with asyncio.timeout(3 * settings.grace_s + _BEYOND_GRACE_S):
            while owner_pid(settings.data_dir) == pid:  # noqa: ASYNC110 (another process's lock has no event)
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise CliError(f"process {pid} was told to stop, but has not: see {settings.data_dir / 'logs'}") from error
    say(f"the system on {settings.data_dir} has stopped")
    return ExitCode.OK
