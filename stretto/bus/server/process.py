"""A nats-server process that ends with its owner: started behind the guard, observed and stopped through it."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path

from stretto.bus.errors import StoreLocked
from stretto.bus.server import guard as guard_program
from stretto.bus.server.lock import FileLock, held_note

__all__ = ["ServerProcess"]

_KILL_LIMIT_S = 5.0


class ServerProcess:
    """One guarded process. It holds the lock at `lock_path` until the server itself is gone, whoever dies first."""

    def __init__(self, guard: Process, *, owner_end: int, lock_path: Path, stop_limit_s: float) -> None:
        self._guard = guard
        self._owner_end: int | None = owner_end
        self._lock_path = lock_path
        self._stop_limit_s = stop_limit_s

    @classmethod
    async def start(
        cls, command: Sequence[str | Path], *, log: Path, lock_path: Path, stop_limit_s: float
    ) -> "ServerProcess":
        """Start `command` with its output in `log`, once the server before it has let go of the lock.

        A server that outlived its owner and its guard is killed.

        Raises:
            StoreLocked: the server before it does not end.
            OSError: a file cannot be written, or no process can be started.
        """
        lock = FileLock(lock_path)
        await _take_over(lock, stop_limit_s)
        try:
            guard_end, owner_end = os.pipe()
            try:
                with log.open("wb") as output:
                    guard = await asyncio.create_subprocess_exec(
                        *(sys.executable, "-I", "-S", guard_program.__file__, str(lock.fd), str(stop_limit_s)),
                        *command,
                        stdin=guard_end,
                        stdout=output,
                        stderr=output,
                        pass_fds=[lock.fd],
                        # Control-C in a terminal reaches the owner, which stops the server in its own order.
                        start_new_session=True,
                    )
            except BaseException:
                os.close(owner_end)
                raise
            finally:
                os.close(guard_end)
        finally:
            lock.release()
        return cls(guard, owner_end=owner_end, lock_path=lock_path, stop_limit_s=stop_limit_s)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 + n where signal n ended it."""
        code = self._guard.returncode
        return code if code is None or code >= 0 else 128 - code

    async def wait(self) -> int:
        """Wait until it has ended, and return its exit code; cancelling the wait leaves it running."""
        await self._guard.wait()
        return self.exit_code or 0

    async def stop(self) -> None:
        """Stop it and wait until it is gone: asked first, killed after the limit. Harmless when it has ended.

        Raises:
            StoreLocked: it cannot be killed.
        """
        if self._owner_end is not None:
            os.close(self._owner_end)
            self._owner_end = None
        try:
            async with asyncio.timeout(self._stop_limit_s + _KILL_LIMIT_S):
                await self._guard.wait()
        except TimeoutError:
            self._guard.kill()
            await self._guard.wait()
        lock = FileLock(self._lock_path)
        await _take_over(lock, wait_s=0.5)
        lock.release()


async def _take_over(lock: FileLock, wait_s: float) -> None:
    """Acquire the lock of a store, ending a left-over server that still holds it after `wait_s`."""
    # A guard that lives ends its server within the stop limit and needs no help.
    if await lock.acquire(wait_s + 0.5):
        return
    group = held_note(lock.path)
    if group:
        # Held, so a process of that group lives, so the kernel has not given the group's id to anyone else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(group), signal.SIGKILL)
    if not await lock.acquire(_KILL_LIMIT_S):
        raise StoreLocked(f"a nats-server (process group {group}) still uses {lock.path.parent}: end it first")
