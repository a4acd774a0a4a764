"""trace_follow: a run's story while it goes on: drawn anew on a terminal, line by line elsewhere."""

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Final

from rich.console import Console
from rich.live import Live

from stretto.bus.connection import Connection
from stretto.bus.errors import BusError
from stretto.cli.trace_line import TraceLine, lines_of
from stretto.cli.trace_view import line_text, story_text, summary_text
from stretto.shared.contracts.answer import Answer
from stretto.shared.requester import Requester, requester_on
from stretto.shared.settings import Settings
from stretto.timeline.reader import StoryReader
from stretto.timeline.story import Story

__all__ = ["follow"]

_AGAIN_S: Final = 0.5
"""Drawn anew as often, also while nothing is said: bars grow."""
_LATE_S: Final = 2.5
"""The last spans come a moment after the answer."""


async def follow(
    connection: Connection, settings: Settings, run: str, *, columns: Callable[[], int], ascii_only: bool
) -> None:
    """Until the run's answer."""
    stories = _stories(connection, settings, run)
    async with contextlib.aclosing(stories):
        if sys.stdout.isatty():
            await _draw(stories, columns=columns, ascii_only=ascii_only)
        else:
            await _tell(stories, columns=columns)


async def _draw(stories: AsyncGenerator[Story], *, columns: Callable[[], int], ascii_only: bool) -> None:
    last: Story | None = None
    with Live(console=Console(), auto_refresh=False, transient=True) as live:
        async for story in stories:
            last = story
            height = shutil.get_terminal_size().lines
            live.update(story_text(story, width=columns(), height=height, ascii_only=ascii_only), refresh=True)
    if last is not None:  # whole, also what had no room on the screen
        Console(soft_wrap=True).print(story_text(last, width=columns(), ascii_only=ascii_only))


async def _tell(stories: AsyncGenerator[Story], *, columns: Callable[[], int]) -> None:
    """Each line once, when it is over."""
    told: set[object] = set()
    last: Story | None = None
    async for story in stories:
        last, task = story, ""
        for line in lines_of(story):
            task = task if line.depth else line.text
            which = (task, line.depth, line.text, line.period.began if line.period else None)
            if which not in told and _is_over(line, story):
                told.add(which)
                print(line_text(line, story), flush=True)  # noqa: T201 (the command's own output)
    if last is not None:
        print(summary_text(last, width=columns()).plain)  # noqa: T201 (as above)


def _is_over(line: TraceLine, story: Story) -> bool:
    return story.state != "open" or line.period is None or line.period.ended is not None


async def _stories(connection: Connection, settings: Settings, run: str) -> AsyncGenerator[Story]:
    """The run's story, again and again."""
    reader = StoryReader(connection=connection, deployment=settings.deployment)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(requester_on(connection, settings), run, over))
        while not over.is_set():
            story = await _read(reader, settings, run)
            if story is not None:
                yield story
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S):
                    await over.wait()
        watching.cancel()
    story = await _read(reader, settings, run)
    if story is not None and story.spans and story.missing:
        await asyncio.sleep(_LATE_S)
        story = await _read(reader, settings, run)
    if story is not None:
        yield story


async def _watch(requester: Requester, run: str, over: asyncio.Event) -> None:
    async with contextlib.aclosing(requester.events(run)) as events:
        async for event in events:
            if isinstance(event.message, Answer):
                break
    over.set()


async def _read(reader: StoryReader, settings: Settings, run: str) -> Story | None:
    try:
        return await reader.read(settings.tenant, run)
    except BusError:  # away for now: the next look tells
        return None
