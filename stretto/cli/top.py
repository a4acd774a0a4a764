"""Top: what goes on in the running system, on a live screen, or once."""

import asyncio
import contextlib
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stretto.bus.address import shown
from stretto.bus.errors import RetryLater, StreamMissing, Unreachable
from stretto.cli.errors import NotReachable
from stretto.cli.interrupt import on_interrupt
from stretto.cli.output import write_json
from stretto.cli.running_system import running_url
from stretto.cli.top_moment import Moment
from stretto.cli.top_pulse import Pulse
from stretto.cli.top_source import TopSource, open_source
from stretto.cli.top_view import Line, notice_lines, top_lines
from stretto.shared.settings import Settings

if TYPE_CHECKING:
    from stretto.cli.top_screen import Screen

__all__ = ["top"]


async def top(settings: Settings, *, once: bool, as_json: bool, interval_s: float) -> int:
    """Show the system until `q` or Control-C; or once, where that is wanted or stdout is no terminal.

    Raises:
        NotReachable: none runs on the data directory.
        StreamMissing: there is no deployment of this prefix; only told where it is shown once.
        Unreachable, NotPermitted: see `Connection.open`.
    """
    url = await running_url(settings)
    if url is None:
        raise NotReachable(
            f"no system runs on {settings.data_dir}: start one with `stretto up`, or name a server in STRETTO_NATS_URL"
        )
    if not (once or as_json) and sys.stdout.isatty():
        await _Watch(settings, interval_s=interval_s).run(url)
        return 0
    async with open_source(settings, url) as source:
        moment = await source.read()
    if as_json:
        write_json(moment.as_json())
    else:
        for line in top_lines(moment, width=shutil.get_terminal_size().columns):
            print(line.text.rstrip())  # noqa: T201 (the command's own output)
    return 0


class _Watch:
    """The live screen. It outlives the server: it says that it is away, and goes on when it is back, there or at another address."""

    def __init__(self, settings: Settings, *, interval_s: float) -> None:
        self._settings = settings
        self._interval_s = interval_s
        self._pulse = Pulse(since=datetime.now(UTC))
        self._over = asyncio.Event()
        self._resized = asyncio.Event()
        self._moment: Moment | None = None
        self._notice = "connecting"

    async def run(self, url: str) -> None:
        """Show the deployment at `url` until it is enough.

        Raises:
            Unreachable, NotPermitted: see `Connection.open`; only as long as nothing was shown.
        """
        from stretto.cli.top_screen import open_screen

        with on_interrupt(self._over.set), open_screen(on_quit=self._over.set, on_resize=self._resized.set) as screen:
            looking = asyncio.ensure_future(self._look(url, screen))
            enough = asyncio.ensure_future(self._over.wait())
            try:
                await asyncio.wait({looking, enough}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                enough.cancel()
                looking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await looking

    async def _look(self, url: str, screen: "Screen") -> None:
        while True:
            try:
                async with open_source(self._settings, url, pulse=self._pulse) as source:
                    await self._follow(source, screen)
            except RetryLater as error:
                if self._moment is None:
                    raise
                self._notice = str(error)
                await self._show(screen)
            url = await running_url(self._settings) or url

    async def _follow(self, source: TopSource, screen: "Screen") -> None:
        """Show what a source says until the system has another address."""
        while True:
            try:
                if not source.is_connected:
                    raise Unreachable(f"no NATS server answers at {shown(source.url)}")
                self._moment, self._notice = await source.read(), ""
            except (RetryLater, StreamMissing) as error:
                self._notice = str(error)
            await self._show(screen)
            if self._notice and await running_url(self._settings) not in {None, source.url}:
                return

    async def _show(self, screen: "Screen") -> None:
        """Draw, and again at another size, for the length of the interval."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._interval_s
        self._draw(screen)
        while (left_s := until - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._resized.wait()
                self._resized.clear()
                self._draw(screen)

    def _draw(self, screen: "Screen") -> None:
        width, height = screen.size
        if self._moment is None:
            screen.draw([Line("stretto top"[:width], "title"), *notice_lines(self._notice, width)][:height])
            return
        notice = f"{datetime.now().astimezone():%H:%M:%S}  {self._notice}: trying again" if self._notice else ""
        screen.draw(top_lines(replace(self._moment, notice=notice), width=width, height=height))
