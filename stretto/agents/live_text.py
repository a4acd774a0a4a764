"""LiveText: what the models of an attempt write, piece by piece, for whoever watches."""

import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from stretto.shared.models.protocol import OnText

__all__ = ["LiveText"]

_GATHERED_S: Final = 0.02
"""Twenty milliseconds: faster than eyes, and at most fifty messages a second however fast a model writes."""


class LiveText:
    """The first piece of each reply is told at once; later ones are gathered for a moment. Nothing is told of a reply that fails.

    Args:
        tell: is given the number of the reply, counted from 1, and a piece of it; it must not take long: the model waits for it.
    """

    def __init__(
        self, tell: Callable[[int, str], Awaitable[None]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._replies = 0

    @contextlib.asynccontextmanager
    async def reply(self) -> AsyncGenerator[OnText]:
        """Take the pieces of one reply; what is left of them is told at its end."""
        self._replies += 1
        number = self._replies
        gathered: list[str] = []
        due_s = 0.0

        async def tell() -> None:
            nonlocal due_s
            due_s = self._clock() + _GATHERED_S
            text = "".join(gathered)
            gathered.clear()
            await self._tell(number, text)

        async def on_text(piece: str) -> None:
            gathered.append(piece)
            if self._clock() >= due_s:
                await tell()

        yield on_text
        if gathered:
            await tell()
