"""Owner: how a part ends with the process that started it: the owner holds the other end of its standard input."""

import asyncio
import os
import sys
from collections.abc import Callable

__all__ = ["end_with_owner"]


def end_with_owner(stop: Callable[[], None]) -> None:
    """From now on, the end of standard input calls `stop`.

    The kernel ends it however the owner dies, kill -9 included: no part outlives its owner.
    """
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def look() -> None:
        if not os.read(descriptor, 1024):
            loop.remove_reader(descriptor)
            stop()

    loop.add_reader(descriptor, look)
