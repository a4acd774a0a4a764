"""The lock on a file: who holds it, who may look, and when it is free."""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stretto.bus.server.lock import FileLock, held_note
from stretto.bus.server.owner import OwnerLock


@contextmanager
def somebody_looks(path: Path) -> Iterator[None]:
    """As `held_note` holds the file for an instant."""
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


async def test_a_note_counts_only_while_the_lock_is_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = FileLock(path)
    assert await lock.acquire(wait_s=0)
    lock.write_note("a long first note")
    lock.write_note("second")
    assert held_note(path) == "second"
    lock.release()
    assert path.read_text() == "second"
    assert held_note(path) is None


async def test_taking_the_lock_empties_the_note_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("stale")
    lock = FileLock(tmp_path / "lock")
    assert await lock.acquire(wait_s=0)
    assert held_note(tmp_path / "lock") == ""
    lock.release()


async def test_two_who_look_do_not_take_each_other_for_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("stale")
    with somebody_looks(path):
        assert held_note(path) is None


async def test_one_who_looks_only_delays_the_one_who_takes(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    lock = FileLock(path)
    with somebody_looks(path):
        assert not await lock.acquire(wait_s=0)
        taking = asyncio.create_task(lock.acquire(wait_s=10))
        await asyncio.wait([taking], timeout=0.01)
    assert await taking
    lock.release()


async def test_one_who_looks_does_not_keep_an_owner_from_starting(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    owner = OwnerLock(tmp_path)
    with somebody_looks(tmp_path / "lock"):
        taking = asyncio.create_task(owner.acquire())
        await asyncio.wait([taking], timeout=0.01)
    await taking
    owner.release()


async def test_a_child_that_inherits_the_lock_holds_it_until_it_dies(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert await first.acquire(wait_s=0)
    child = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, pass_fds=[first.fd])
    first.release()
    assert not await second.acquire(wait_s=0)
    child.kill()
    await child.wait()
    assert await second.acquire(wait_s=0)
    second.release()


async def test_a_lock_is_not_taken_twice_and_has_no_file_when_free(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    with pytest.raises(RuntimeError, match="is not locked"):
        _ = lock.fd
    assert await lock.acquire(wait_s=0)
    with pytest.raises(RuntimeError, match="is locked already"):
        await lock.acquire(wait_s=0)
    lock.release()
    lock.release()
