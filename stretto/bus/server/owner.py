"""Who owns a data directory: the lock that a system holds for as long as it lives, and how others find that system."""

import os
from pathlib import Path

from pydantic import BaseModel, ValidationError

from stretto.bus.errors import Misconfigured, StoreLocked
from stretto.bus.server.lock import FileLock, held_note
from stretto.bus.server.probe import greeting

__all__ = ["OwnerLock", "owner_pid", "running"]

_LOCK = "lock"
_WAIT_S = 0.5


class _Owner(BaseModel):
    """The note in the lock."""

    pid: int
    server_name: str
    url: str | None = None


class OwnerLock:
    """The right of one process to run a system on a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = FileLock(data_dir / _LOCK)

    async def acquire(self) -> None:
        """Become the owner.

        Raises:
            StoreLocked: another process is; the text says which.
            OSError: the directory cannot be used.
        """
        if not await self._lock.acquire(_WAIT_S):
            owner = _owner_of(self._data_dir)
            who = "another process" if owner is None else f"process {owner.pid}"
            where = f" at {owner.url}" if owner is not None and owner.url is not None else ""
            raise StoreLocked(
                f"{who} runs a system on {self._data_dir}{where}: use that one, stop it, or choose another data directory"
            )

    def announce(self, *, server_name: str, url: str | None) -> None:
        """Write down which server runs here; without a URL, that it is not ready."""
        self._lock.write_note(_Owner(pid=os.getpid(), server_name=server_name, url=url).model_dump_json())

    def release(self) -> None:
        """Let go. Harmless when not the owner."""
        self._lock.release()


async def running(data_dir: Path) -> str | None:
    """The URL of the system that runs on `data_dir` now, None where none does or it does not answer.

    What a crash left behind is never taken for a system: its lock is held by a living process, and the server at the
    URL answers with the name that the owner gave it.

    Raises:
        Misconfigured: this user may not look into the directory.
    """
    owner = _owner_for_others(data_dir)
    if owner is None or owner.url is None:
        return None
    found = await greeting(owner.url)
    return owner.url if found is not None and found.server_name == owner.server_name else None


def owner_pid(data_dir: Path) -> int | None:
    """The process that runs a system on `data_dir` now, None where none does. It holds the lock, so it lives.

    Raises:
        Misconfigured: this user may not look into the directory.
    """
    owner = _owner_for_others(data_dir)
    return None if owner is None else owner.pid


def _owner_for_others(data_dir: Path) -> _Owner | None:
    try:
        return _owner_of(data_dir)
    except OSError as error:
        raise Misconfigured(f"{data_dir / _LOCK} cannot be read: {error.strerror or error}") from error


def _owner_of(data_dir: Path) -> _Owner | None:
    note = held_note(data_dir / _LOCK)
    try:
        return _Owner.model_validate_json(note) if note else None
    except ValidationError:
        # The owner is writing it at this moment.
        return None
