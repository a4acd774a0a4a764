"""Agents whose every effect stands in the ledger before it returns, and the model that they think with."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from stretto.agents import Agent, TaskContext
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import Document, Output, Reply
from tests.chaos.ledger import Effect, Ledger

__all__ = ["ALONE", "DOOMED", "LEDGER", "PLAYBOOK", "Doomed", "How", "LedgerModel", "Made", "Thinker", "made_of"]

LEDGER: Final = "STRETTO_CHAOS_LEDGER"
"""Names the ledger's file to the processes."""

PLAYBOOK: Final = """
name: chaos
description: Two tasks beside each other, and one that joins them. For the chaos suite.
roles: {think: thinks}
tasks:
  - {id: left, role: think, inputs: {how: request.params.how}}
  - {id: right, role: think, inputs: {how: request.params.how}}
  - {id: join, role: think, inputs: {how: request.params.how, before: [left, right]}}
answer: join
"""

ALONE: Final = """
name: alone
description: One task alone. For the chaos suite.
roles: {think: thinks}
tasks:
  - {id: only, role: think, inputs: {how: request.params.how}}
answer: only
"""

DOOMED: Final = """
name: doomed
description: A task that kills whoever does it. For the chaos suite.
roles: {doom: kills its process}
tasks:
  - {id: only, role: doom, inputs: {how: request.params.how}}
answer: only
"""

_execution: ContextVar[int] = ContextVar("execution")


class How(BaseModel):
    """How a request wants its tasks done.

    Attributes:
        call_s: how long each call of the model and of a tool takes.
        size: of the text that it gives, in characters, where that is to be more.
    """

    model_config = ConfigDict(extra="forbid")

    call_s: float = 0.01
    size: int = 0


class Given(BaseModel):
    """What a task is given."""

    request: str
    how: How = How()
    before: tuple["Made", ...] = ()


class Made(BaseModel):
    """What a task gives."""

    text: str


def made_of(request: str) -> str:
    """What the answer to a request must say."""
    return f"[{request}]+[{request}]"


class LedgerModel:
    """Replies with the words that it is asked to say, and writes each call into the ledger."""

    name = "ledger"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: Callable[[str], Awaitable[None]] | None = None,
    ) -> Reply[Output]:
        asked = json.loads(question)
        call = self._ledger.begin_call(_execution.get(), Effect("model", **asked["effect"]))
        await asyncio.sleep(asked["call_s"])
        self._ledger.end_call(call)
        return Reply(
            output=output_type.model_validate({"text": instructions}),
            model=self.name,
            usage=Usage(model_calls=1, input_tokens=1),
        )


class Thinker(Agent[Given, Made]):
    """Thinks twice, one after the other."""

    role = "think"
    description = "thinks"
    slots = 8

    def __init__(self) -> None:
        self._ledger = Ledger(Path(os.environ[LEDGER]))

    async def handle(self, task: Given, ctx: TaskContext) -> Made:
        key = ctx.key
        _execution.set(self._ledger.begin_execution(os.getpid(), key.run.run, key.task, key.attempt))
        words = "+".join(made.text for made in task.before) or f"[{task.request}]".ljust(task.how.size, ".")
        first = await self._think(task, ctx, 0, words)
        return await self._think(task, ctx, 1, first.text)

    async def _think(self, task: Given, ctx: TaskContext, position: int, words: str) -> Made:
        key = ctx.key
        effect = {"run": key.run.run, "task": key.task, "attempt": key.attempt, "position": position}
        question = json.dumps({"effect": effect, "call_s": task.how.call_s})
        return (await ctx.model.generate(Made, instructions=words, question=question)).output


class Doomed(Agent[Given, Made]):
    """Kills its process."""

    role = "doom"
    description = "kills its process"
    slots = 1

    async def handle(self, task: Given, ctx: TaskContext) -> Made:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it is dead")
