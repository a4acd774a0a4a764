"""ServerTime: what time it is for the server, asked now and then: what is reserved lapses by no other clock."""

import asyncio
from datetime import datetime

from stretto.bus.connection import Connection
from stretto.bus.server_clock import ServerClock

__all__ = ["ServerTime"]

_AGAIN_S = 60.0


class ServerTime:
    """The server's time. `stream` is any of its streams: what it says of one bears the time."""

    def __init__(self, *, connection: Connection, stream: str) -> None:
        self._connection = connection
        self._stream = stream
        self._clock = ServerClock()
        self._ask_at = 0.0

    def now(self) -> datetime:
        """Aware UTC; this machine's time before `learn`."""
        return self._clock.now()

    async def learn(self) -> None:
        """Ask the server, unless that was a short while ago.

        Raises:
            RetryLater, Misconfigured: see `stretto.bus.errors`.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._ask_at:
            return
        told = await self._connection.jetstream.api(f"STREAM.INFO.{self._stream}")
        if "ts" in told:  # not where there is no such stream: whoever reads it next is told so
            self._clock.note(datetime.fromisoformat(told["ts"]))
            self._ask_at = loop.time() + _AGAIN_S
