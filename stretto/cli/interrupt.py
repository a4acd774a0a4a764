"""Interrupt: Control-C and SIGTERM as events, for commands that have something to bring to an end."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Generator

__all__ = ["on_interrupt"]


@contextlib.contextmanager
def on_interrupt(callback: Callable[[], None]) -> Generator[None]:
    """Within the block, SIGINT and SIGTERM call `callback` instead of ending the process."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, callback)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
