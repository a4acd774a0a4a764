"""Agents that are at work when their process is told to stop, for tests of shutdown. They write into the folder that they run in."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stretto.agents import Agent, TaskContext

__all__ = ["BEGUN", "GO", "Deaf", "Slow", "Threaded"]

BEGUN, GO = Path("begun"), Path("go")
ROLE, DESCRIPTION = "slow", "takes its time"


class Note(BaseModel):
    """What the agents take and give."""

    request: str = ""
    text: str = ""


def begin() -> None:
    """Note that a process has begun, and when."""
    with BEGUN.open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {time.time()}\n")


async def released() -> Note:
    """Wait until the test lets it go on, for a minute at the most."""
    give_up_at = time.monotonic() + 60.0
    while not await asyncio.to_thread(GO.exists) and time.monotonic() < give_up_at:  # noqa: ASYNC110 (a file has no event)
        await asyncio.sleep(0.02)
    return Note(text="done")


class Slow(Agent[Note, Note]):
    """Ends when it is let go, or cancelled."""

    role, description = ROLE, DESCRIPTION
    slots = 1

    async def handle(self, task: Note, ctx: TaskContext) -> Note:
        begin()
        return await released()


class Deaf(Slow):
    """Does not care that it is cancelled."""

    async def handle(self, task: Note, ctx: TaskContext) -> Note:
        begin()
        working: asyncio.Future[Any] = asyncio.ensure_future(released())
        while not working.done():
            try:
                await asyncio.shield(working)
            except asyncio.CancelledError:
                continue
        return Note(text="deaf")


class Threaded(Slow):
    """Works in a thread, which nothing can cancel."""

    async def handle(self, task: Note, ctx: TaskContext) -> Note:
        begin()
        await asyncio.to_thread(time.sleep, 60.0)  # nobody waits for it in the end
        return Note(text="threaded")
