"""Paced: a figure that is dear to read, and so is not read each time that it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

__all__ = ["Paced"]

_LEAST_S: Final = 1.0
_SHARE: Final = 50
"""At the most a fiftieth of the time is spent on reading."""

Figure = TypeVar("Figure")


class Paced(Generic[Figure]):
    """What `read` gave the last time, for as long as fits what it took."""

    def __init__(self, read: Callable[[], Awaitable[Figure]]) -> None:
        self._read = read
        self._known: tuple[float, Figure] | None = None

    async def get(self) -> Figure:
        """Raises as `read`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self._known is None or began >= self._known[0]:
            figure = await self._read()
            ended = loop.time()
            self._known = (ended + max(_LEAST_S, _SHARE * (ended - began)), figure)
        return self._known[1]
