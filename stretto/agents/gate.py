"""Gate: lets a handler's effects begin, and says when and why the handler is to be stopped."""

import asyncio
import contextlib
from collections.abc import Generator
from enum import IntEnum
from typing import Never

__all__ = ["Gate", "Stop"]


class Stop(IntEnum):
    """Why a handler is stopped. Of several reasons the highest holds."""

    TIME = 1
    """Its time is up."""
    PARKED = 2
    """It waits for a person."""
    BROKEN = 3
    """Its journal cannot go on: see `Gate.error`."""
    SUPERSEDED = 4
    """Another process works on the same attempt, and was first."""
    SHUT_DOWN = 5
    """The process stops."""
    WITHDRAWN = 6
    """The run is over."""


_SOFT = {Stop.PARKED, Stop.SUPERSEDED}


class Gate:
    """What stands between a handler and its effects.

    After a stop no effect begins any more: it waits for ever, and the handler is cancelled, so that no `except Exception` gets past it.
    Effects in flight are finished first when the handler is parked or superseded; in all other cases they are cut off.

    Attributes:
        reason: why the handler is to stop; None while it may go on.
        error: what broke the journal.
        stopped: done as soon as there is a reason.
        due: done as soon as the handler is to be cancelled.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.reason: Stop | None = None
        self.error: Exception | None = None
        self.stopped: asyncio.Future[None] = loop.create_future()
        self.due: asyncio.Future[None] = loop.create_future()
        self._in_flight = 0

    def stop(self, reason: Stop, error: Exception | None = None) -> None:
        """Let nothing begin from now on."""
        if self.reason is None or reason > self.reason:
            self.reason = reason
            self.error = error
        _finish(self.stopped)
        if reason not in _SOFT or not self._in_flight:
            _finish(self.due)

    async def closed(self) -> Never:
        """Wait for the end, which comes as a cancellation."""
        while True:
            await asyncio.Event().wait()

    async def passed(self) -> None:
        """Return at once while the handler may go on, else never."""
        if self.reason is not None:
            await self.closed()

    @contextlib.contextmanager
    def in_flight(self) -> Generator[None]:
        """An effect is under way: what stops the handler softly waits for its end."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            if self.reason is not None and not self._in_flight:
                _finish(self.due)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
