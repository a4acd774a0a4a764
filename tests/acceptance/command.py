"""The `stretto` command as a person uses it: real processes in a folder of their own, with nothing set but what the test sets."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from stretto.shared.models.keys import KEYS

__all__ = ["HANDBOOK", "STRETTO", "Ran", "Running", "Stretto", "wait_until"]

STRETTO = str(Path(sys.executable).with_name("stretto"))
LIMIT_S = 60.0
HANDBOOK = """# Refunds

## Deadline

A refund is paid within fourteen days after the returned goods have arrived at the warehouse.

## Exceptions

Gift cards and opened software are not refunded.
"""


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What stands on stdout: exactly one JSON object."""
        return json.loads(self.out)


class Running:
    """A command that is under way; its lines on stderr can be waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str, *, after: int = 0) -> int:
        """Wait for a line that matches; return how many lines there were with it. `after` skips that many."""
        with self._more:
            give_up_at = time.monotonic() + LIMIT_S
            while True:
                for number, line in enumerate(self._lines[after:], after + 1):
                    if re.search(pattern, line):
                        return number
                left_s = give_up_at - time.monotonic()
                assert left_s > 0, f"no line matches {pattern!r} in:\n{''.join(self._lines)}"
                assert self._reader.is_alive(), f"it ended without {pattern!r}:\n{''.join(self._lines)}"
                self._more.wait(min(left_s, 1.0))

    def family(self) -> list[psutil.Process]:
        """The processes that it started, and those that these started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> Ran:
        """Wait until it ends."""
        code = self.process.wait(timeout=LIMIT_S)
        self._reader.join()
        assert self.process.stdout is not None
        return Ran(code, self.process.stdout.read(), "".join(self._lines))

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self._lines.append(line)
                self._more.notify_all()
        with self._more:
            self._more.notify_all()


@dataclass(frozen=True)
class Stretto:
    """One user: a folder to work in, a data directory, and settings by variables."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def environment(self) -> dict[str, str]:
        # Whoever runs the tests may have keys: no test is to use them.
        clean = {
            name: one
            for name, one in os.environ.items()
            if not (name.startswith(("STRETTO_", "OTEL_")) or name in KEYS)
        }
        path = f"{Path(STRETTO).parent}{os.pathsep}{clean.get('PATH', '')}"
        return clean | {"STRETTO_DATA_DIR": str(self.data_dir), "PATH": path, "NO_COLOR": "1"} | self.variables

    def with_variables(self, **variables: str) -> "Stretto":
        return Stretto(
            self.folder, self.variables | {f"STRETTO_{name.upper()}": one for name, one in variables.items()}
        )

    def run(self, *words: str, text: str = "") -> Ran:
        """Run a command to its end, with `text` on its standard input."""
        done = subprocess.run(
            [STRETTO, *words],
            env=self.environment,
            cwd=self.folder,
            input=text,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def start(self, *words: str) -> Iterator[Running]:
        """Start a command; whatever is left of it and of what it started is killed at the end of the block."""
        with subprocess.Popen(
            [STRETTO, *words],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            running = Running(process)
            try:
                yield running
            finally:
                if process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(timeout=20)
                    except subprocess.TimeoutExpired:
                        process.kill()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Ask again and again."""
    give_up_at = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < give_up_at, f"not so after {LIMIT_S:g} s: {what}"
        time.sleep(0.05)
