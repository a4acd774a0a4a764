"""Keeper: keeps one part of a running system alive."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, NoReturn

from stretto.bus.errors import BusError
from stretto.bus.server import EmbeddedServer
from stretto.cli.backoff import Backoff
from stretto.cli.part import Part
from stretto.shared.telemetry.prometheus import Address

__all__ = ["Keeper", "KeptPart", "KeptServer"]

State = Literal["starting", "up", "down"]
_PROBLEM_CHARS: Final = 300


class Keeper(ABC):
    """What is kept, as it is shown.

    Attributes:
        pid: of its process, while it has one.
        restarts: how often it was started again.
        problem: why it ended the last time.
        metrics: where it serves its metrics; None where it does not.
    """

    def __init__(self, name: str, *, tell: Callable[[str], None], backoff: Backoff) -> None:
        self.name = name
        self.state: State = "starting"
        self.pid: int | None = None
        self.restarts = 0
        self.problem = ""
        self.metrics: Address | None = None
        self._tell = tell
        self._backoff = backoff
        self._began_s = time.monotonic()

    @abstractmethod
    async def run(self) -> NoReturn:
        """Start it again whenever it ends. Cancelling leaves it running."""
        ...

    @property
    def lived_s(self) -> float:
        """Seconds since it was last started."""
        return time.monotonic() - self._began_s

    def _started(self, pid: int | None = None) -> None:
        self.state, self.pid, self._began_s = "up", pid, time.monotonic()

    async def _pause(self, problem: str) -> None:
        wait_s = self._backoff.after(self.lived_s)
        self.state, self.pid, self.problem = "down", None, problem[:_PROBLEM_CHARS]
        self._tell(f"{self.name} ended: {self.problem}: it is started again in {wait_s:.1f} s")
        await asyncio.sleep(wait_s)
        self.restarts += 1


class KeptPart(Keeper):
    """A part with its log."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        url: str,
        log: Path,
        tell: Callable[[str], None],
        backoff: Backoff,
        metrics: Address | None = None,
    ) -> None:
        super().__init__(name, tell=tell, backoff=backoff)
        self.metrics = metrics
        self._arguments = arguments
        self._url = url
        self._log = log
        self._part: Part | None = None

    async def run(self) -> NoReturn:
        """Start it, and again whenever it ends. Cancelling leaves the process: `stop` ends it."""
        while True:
            self._part = await Part.start(
                self.name,
                self._arguments,
                url=self._url,
                log=self._log,
                environment=self.metrics.environment if self.metrics else None,
            )
            self._started(self._part.pid)
            code = await self._part.wait()
            await self._pause(
                f"killed by signal {-code}" if code < 0 else self._part.last_words() or f"exit code {code}"
            )

    async def stop(self, *, grace_s: float) -> None:
        """End it for good, after `run` has been cancelled."""
        if self._part is not None:
            await self._part.stop(grace_s=grace_s)

    def hurry(self) -> None:
        """End it at once."""
        if self._part is not None:
            self._part.hurry()


class KeptServer(Keeper):
    """The embedded server: started again at the same address, on the same store."""

    def __init__(self, server: EmbeddedServer, *, tell: Callable[[str], None], backoff: Backoff) -> None:
        super().__init__("nats-server", tell=tell, backoff=backoff)
        self._server = server
        self._started()

    async def run(self) -> NoReturn:
        while True:
            code = await self._server.wait()
            await self._pause(f"exit code {code} (its log: {self._server.log})")
            while True:
                try:
                    await self._server.restart()
                except BusError as error:  # its port may be in use for a moment
                    await self._pause(str(error))
                else:
                    self._started()
                    break
