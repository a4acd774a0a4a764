"""Locks on files that the kernel releases when the last process that holds them dies (POSIX only)."""

import asyncio
import fcntl
import os
from pathlib import Path

__all__ = ["FileLock", "held_note"]

_RETRY_S = 0.02


class FileLock:
    """An exclusive lock on a file, with a note in the file for those who find it locked.

    The lock belongs to the open file: a child that inherits `fd` holds it too, and it is free when all have closed it
    or died. The file is never deleted, so a file alone means nothing; ask `held_note`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """The locked file's descriptor, to be inherited by a child."""
        if self._fd is None:
            raise RuntimeError(f"{self.path} is not locked")
        return self._fd

    async def acquire(self, wait_s: float) -> bool:
        """Take the lock and empty its note; False when another still holds it after `wait_s`.

        A wait of a few tenths of a second is always in order: `held_note` holds the lock for an instant.

        Raises:
            OSError: the file cannot be opened or locked.
        """
        if self._fd is not None:
            raise RuntimeError(f"{self.path} is locked already")
        give_up_at = asyncio.get_running_loop().time() + wait_s
        while not self._try_acquire():
            if asyncio.get_running_loop().time() >= give_up_at:
                return False
            await asyncio.sleep(_RETRY_S)
        return True

    def _try_acquire(self) -> bool:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def write_note(self, note: str) -> None:
        """Replace the note."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, note.encode(), 0)

    def release(self) -> None:
        """Let go; children that inherited the lock keep it."""
        if self._fd is not None:
            # Not LOCK_UN, which would take the lock from the children as well.
            os.close(self._fd)
            self._fd = None


def held_note(path: Path) -> str | None:
    """The note of a lock that a living process holds now ("" before it is written), None when nobody holds it.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        # Shared, so that two who ask at the same time do not take each other for the owner.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, 4096, 0).decode(errors="replace")
    finally:
        os.close(fd)
    return None
