"""UpView: how a system that is kept alive looks at stderr: a live table in a terminal, plain lines elsewhere."""

import contextlib
import sys
from collections import deque
from collections.abc import Generator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stretto.cli.keeper import Keeper
from stretto.cli.terminal import printable, say

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["UpView", "up_view"]

_NEWS: Final = 5
_STYLES: Final = {"starting": "yellow", "up": "green", "down": "red"}


class UpView:
    """Plain lines."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self._title = f"stretto is up at {url}, on {data_dir} (logs: {data_dir / 'logs'})"

    @contextlib.contextmanager
    def showing(self, kept: Sequence[Keeper]) -> Generator[None]:
        """Show these within the block."""
        say(f"{self._title}: {', '.join(one.name for one in kept)}")
        if metrics := [f"{one.name} {one.metrics}" for one in kept if one.metrics]:
            say(f"metrics: {', '.join(metrics)}")
        yield

    def tell(self, text: str) -> None:
        """Something happened."""
        say(f"{datetime.now().astimezone():%H:%M:%S}  {text}")


class _LiveUpView(UpView):
    def __init__(self, url: str, data_dir: Path) -> None:
        super().__init__(url, data_dir)
        self._news: deque[str] = deque(maxlen=_NEWS)
        self._kept: Sequence[Keeper] = ()

    @contextlib.contextmanager
    def showing(self, kept: Sequence[Keeper]) -> Generator[None]:
        from rich.console import Console
        from rich.live import Live

        self._kept = kept
        with Live(console=Console(stderr=True), get_renderable=self._render, refresh_per_second=2):
            yield

    def tell(self, text: str) -> None:
        self._news.append(f"{datetime.now().astimezone():%H:%M:%S}  {printable(text)}")

    def _render(self) -> "Group":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0))
        metrics = ("metrics",) if any(kept.metrics for kept in self._kept) else ()
        for name in ("part", "state", "pid", "up for", "restarts", *metrics):
            table.add_column(name, justify="left" if name in {"part", "state", "metrics"} else "right", no_wrap=True)
        for kept in self._kept:
            table.add_row(
                kept.name,
                Text(kept.state, _STYLES[kept.state]),
                str(kept.pid or ""),
                _duration(kept.lived_s) if kept.state == "up" else "",
                str(kept.restarts or ""),
                *(str(kept.metrics or "") for _ in metrics),
            )
        return Group(Text(self._title, "bold"), table, *(Text(line, "dim") for line in self._news))


def up_view(url: str, data_dir: Path) -> UpView:
    """The view that suits stderr."""
    return _LiveUpView(url, data_dir) if sys.stderr.isatty() else UpView(url, data_dir)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
