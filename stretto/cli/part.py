"""Part: a child process that serves, and ends with the process that started it."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

from stretto.shared.telemetry.process_tracing import name_of_part

__all__ = ["Part", "last_line"]

_KILL_AFTER_S = 5.0
"""So long after its grace period a part may still give back what it has in hand."""
_LAST_WORDS_BYTES = 65_536


class Part:
    """One process of `stretto ... --owned`, with its output in a log."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._hurried = asyncio.Event()

    @classmethod
    async def start(
        cls, name: str, arguments: Sequence[str], *, url: str, log: Path, environment: Mapping[str, str] | None = None
    ) -> "Part":
        """Start it on the server at `url`; `environment` comes on top of ours.

        Raises:
            OSError: the log cannot be written, or no process can be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                # -P: what lies in the current folder is not to be taken for our own modules.
                *(sys.executable, "-P", "-m", "stretto", *arguments, "--owned"),
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=output,
                env={**os.environ, **name_of_part(name), **(environment or {}), "STRETTO_NATS_URL": url},
                # Control-C in a terminal reaches the owner, which stops its parts in order.
                start_new_session=True,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """Wait until it ends by itself; return its exit code (-n where signal n ended it)."""
        return await self._process.wait()

    async def stop(self, *, grace_s: float) -> None:
        """Have it finish what it has in hand and end; kill it when that takes longer than `grace_s` and a little. Harmless when ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        async with asyncio.TaskGroup() as group:
            ending, hurrying = group.create_task(self._process.wait()), group.create_task(self._hurried.wait())
            await asyncio.wait({ending, hurrying}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({ending}, timeout=_KILL_AFTER_S)
            if not ending.done():
                self._process.kill()
            hurrying.cancel()

    def hurry(self) -> None:
        """Have it give back what it has in hand, and end at once."""
        self._hurried.set()
        if self._process.returncode is None:
            for _ in range(2):  # the end of its input tells it once; a second signal takes its grace period
                self._process.terminate()

    def last_words(self) -> str:
        """The last line that it wrote, which says why it ended."""
        return last_line(self.log)


def last_line(log: Path) -> str:
    """The last line of a log, empty where there is none; of an error's line, what it says."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LAST_WORDS_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return _said(lines[-1]) if lines else ""


def _said(line: str) -> str:
    """What a line says: it may be a record of a log for programs."""
    try:
        record = json.loads(line)
    except ValueError:
        return line.removeprefix("stretto: ")
    message: object = record.get("message") if isinstance(record, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # JSON
    return message if isinstance(message, str) else line
