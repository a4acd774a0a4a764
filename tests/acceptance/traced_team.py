"""Agents whose runs have every kind of span, for tests of tracing. They write into the folder that they run in.

What they are given, give and raise holds words that are told nowhere.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from stretto.agents import Agent, TaskContext
from stretto.agents.errors import TaskRetryable
from stretto.shared.models.protocol import Document
from stretto.shared.tools.function import tool

__all__ = ["BEGUN", "BROKEN", "GO", "LINGER", "PLAYBOOKS", "SECRETS", "Scribe", "Signer", "Stumbler"]

BEGUN, GO = Path("begun"), Path("go")
LINGER: Final = "linger"
"""A request with this word waits after its first thought until it is let go."""
BROKEN: Final = "broken"
"""The scribe's first model does not answer a request with this word."""
PROMPT, DOCUMENT, THOUGHT = "canary-prompt", "canary-document", "canary-thought"
ARGUMENT, RESULT, MEMORY, TROUBLE = "canary-argument", "canary-result", "canary-memory", "canary-trouble"
SECRETS: Final = (PROMPT, DOCUMENT, THOUGHT, ARGUMENT, RESULT, MEMORY, TROUBLE)

PLAYBOOKS: Final = {
    role: f"""
name: {role}
description: one task of the {role}
roles: {{{role}: works}}
tasks:
  - {{id: only, role: {role}}}
answer: only
"""
    for role in ("scribe", "signer", "stumbler")
}


class Task(BaseModel):
    """What they are given."""

    request: str


class Text(BaseModel):
    """What they give."""

    text: str


@tool
async def stamp(what: str) -> str:
    """Put a stamp on something."""
    return f"{RESULT} on {what}"


async def think(task: Task, ctx: TaskContext, about: str) -> str:
    """Ask the model."""
    document = Document(id="d1", text=DOCUMENT, source=DOCUMENT)
    asked = ctx.model.generate(Text, instructions=f"{PROMPT} {task.request}", question=about, documents=[document])
    return (await asked).output.text


class Scribe(Agent[Task, Text]):
    """Thinks twice; between that it uses a tool, remembers and recalls."""

    role = "scribe"
    description = "writes"
    tools = (stamp,)

    async def handle(self, task: Task, ctx: TaskContext) -> Text:
        thought = await think(task, ctx, "first")
        await ctx.tools.call("stamp", {"what": ARGUMENT})
        await ctx.memory.remember(MEMORY, source=MEMORY)
        await ctx.memory.search(MEMORY)
        if LINGER in task.request:
            await linger()
        return Text(text=await think(task, ctx, f"second, after {thought}"))


class Signer(Agent[Task, Text]):
    """Thinks, has a person approve, and thinks again."""

    role = "signer"
    description = "asks for an approval"

    async def handle(self, task: Task, ctx: TaskContext) -> Text:
        await think(task, ctx, "first")
        said = await ctx.ask_human("Shall it be signed?", kind="approval", expires_in_s=3600)
        await think(task, ctx, "second")
        return Text(text=said.outcome)


class Stumbler(Agent[Task, Text]):
    """Thinks, and fails the first time."""

    role = "stumbler"
    description = "fails, then succeeds"

    async def handle(self, task: Task, ctx: TaskContext) -> Text:
        await think(task, ctx, "only")
        if ctx.key.attempt == 1:
            raise TaskRetryable(TROUBLE)
        return Text(text="done")


def begin() -> int:
    """Tell that one more lingers; return how many have."""
    with BEGUN.open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    return BEGUN.read_text(encoding="utf-8").count("\n")


def may_go(number: int) -> bool:
    return GO.exists() and int(GO.read_text(encoding="utf-8") or 0) >= number


async def linger() -> None:
    """Wait until the test lets it go on, for a minute at the most."""
    number = begin()
    give_up_at = time.monotonic() + 60.0
    while not await asyncio.to_thread(may_go, number) and time.monotonic() < give_up_at:  # noqa: ASYNC110 (a file has no event)
        await asyncio.sleep(0.02)
