"""Top screen: a terminal that is drawn again and again, until somebody has seen enough."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Generator, Sequence
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.style import Style
from rich.text import Text

from stretto.cli.top_view import Line, Look

__all__ = ["Screen", "open_screen"]

_STYLES: Final[dict[Look, Style]] = {
    "plain": Style(),
    "title": Style(bold=True),
    "heading": Style(reverse=True),
    "good": Style(color="green"),
    "bad": Style(color="red"),
    "busy": Style(color="cyan"),
    "dim": Style(dim=True),
}
_QUIT: Final = frozenset(b"qQ\x03\x04")
_DISABLED: Final = b"\x00"


class Screen:
    """A whole terminal. `size` is its width and height now."""

    def __init__(self, live: Live, console: Console) -> None:
        self._live = live
        self._console = console

    @property
    def size(self) -> tuple[int, int]:
        return self._console.width, self._console.height

    def draw(self, lines: Sequence[Line]) -> None:
        """Show these lines, from the top."""
        shown = Text("\n", no_wrap=True, overflow="crop").join(Text(one.text, _STYLES[one.look]) for one in lines)
        self._live.update(shown, refresh=True)


@contextlib.contextmanager
def open_screen(*, on_quit: Callable[[], None], on_resize: Callable[[], None]) -> Generator[Screen]:
    """The terminal for the length of the block; what stood there comes back. `q` calls `on_quit`."""
    console = Console()
    with (
        _no_logs(),
        _keys(on_quit),
        _resizes(on_resize),
        Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False, redirect_stdout=False) as live,
    ):
        yield Screen(live, console)


@contextlib.contextmanager
def _no_logs() -> Generator[None]:
    """Lines of a log would be written across the screen; that the server is away is shown there."""
    if sys.stderr.isatty():
        logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def _keys(on_quit: Callable[[], None]) -> Generator[None]:
    if not sys.stdin.isatty():
        yield
        return
    loop, number = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        pressed = os.read(number, 64)
        if not pressed or _QUIT & frozenset(pressed):
            on_quit()

    before = termios.tcgetattr(number)
    tty.setcbreak(number)
    now = termios.tcgetattr(number)
    now[6][termios.VSUSP] = _DISABLED  # Control-Z would leave the shell with our screen
    termios.tcsetattr(number, termios.TCSANOW, now)
    loop.add_reader(number, read)
    try:
        yield
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _resizes(on_resize: Callable[[], None]) -> Generator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, on_resize)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
