"""Trace: what one run did and what it waited for."""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stretto.bus.client import Client
from stretto.bus.connection import Connection
from stretto.cli.errors import UsageFailed
from stretto.cli.output import write_json
from stretto.cli.run_named import run_named
from stretto.cli.running_system import connect_to_running, open_log
from stretto.cli.terminal import say
from stretto.shared.settings import Settings
from stretto.timeline.reader import StoryReader

if TYPE_CHECKING:
    from rich.text import Text

    from stretto.timeline.story import Story

__all__ = ["export_trace", "follow_trace", "show_messages", "show_trace", "write_text"]

_PIPED_COLUMNS = 120


async def show_trace(settings: Settings, run: str, *, as_json: bool) -> int:
    """The run's story: a tree with bars for time.

    Raises:
        UsageFailed: no such run is known, or several begin so.
    """
    async with open_log(settings) as connection:
        story = await _story(connection, settings, await run_named(connection, settings, run))
    if as_json:
        write_json(story.data())
    else:
        from stretto.cli.trace_view import story_text

        write_text(story_text(story, width=_columns(), ascii_only=_ascii_only()))
    return 0


async def export_trace(settings: Settings, run: str, file: Path) -> int:
    """Write the run's spans as OTLP/JSON; `-` is stdout.

    Raises:
        UsageFailed: no such run is known, several begin so, or the file cannot be written.
    """
    async with open_log(settings) as connection:
        named = await run_named(connection, settings, run)
        reader = StoryReader(connection=connection, deployment=settings.deployment)
        exported = await reader.export(settings.tenant, named)
    if exported is None:
        raise UsageFailed(f"run {named} has no request that can be read")
    text = json.dumps(exported.json, ensure_ascii=False) + "\n"
    if str(file) == "-":
        sys.stdout.write(text)
    else:
        try:
            await asyncio.to_thread(file.write_text, text, encoding="utf-8")
        except OSError as error:
            raise UsageFailed(f"{file} cannot be written: {error.strerror or error}") from error
    made = f", {exported.made} of them made from the log" if exported.made else ""
    say(f"stretto: {exported.told + exported.made} spans of run {named}{made}")
    return 0


async def show_messages(settings: Settings, run: str, *, full: bool) -> int:
    """Who said what to whom in the run.

    Raises:
        UsageFailed: no such run is known, or several begin so.
    """
    from stretto.cli.trace_messages import write_messages

    async with open_log(settings) as connection:
        named = await run_named(connection, settings, run)
        client = Client(
            connection=connection, deployment=settings.deployment, tenant=settings.tenant, principal=settings.principal
        )
        write_messages(await client.log(named), full=full)
    return 0


async def follow_trace(settings: Settings, run: str) -> int:
    """Show the run's story while it goes on, until its answer, or Control-C.

    Raises:
        NotReachable: no system runs in which it could go on.
        UsageFailed: no such run is known, or several begin so.
    """
    from stretto.cli.trace_follow import follow

    async with connect_to_running(settings, name="trace") as (connection, _):
        named = await run_named(connection, settings, run)
        await follow(connection, settings, named, columns=_columns, ascii_only=_ascii_only())
    return 0


def write_text(text: "Text") -> None:
    """On stdout: in colours on a terminal, else as it is."""
    from rich.console import Console

    console = Console(soft_wrap=True)
    console.print(text)


async def _story(connection: Connection, settings: Settings, run: str) -> "Story":
    story = await StoryReader(connection=connection, deployment=settings.deployment).read(settings.tenant, run)
    if story is None:
        raise UsageFailed(f"run {run} has no request that can be read")
    return story


def _columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_COLUMNS


def _ascii_only() -> bool:
    """Whether stdout cannot show lines."""
    try:
        "━─·…".encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return True
    return False
