"""Agents whose every effect stands in the ledger before it returns, and the model that they think with."""

import asyncio
import functools
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, JsonValue

from stretto.agents import Agent, TaskContext
from stretto.agents.errors import TaskRetryable
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import Document, Output, Purse, Reply
from stretto.shared.tools.protocol import Consequences
from tests.chaos.ledger import Effect, Ledger

__all__ = [
    "ALONE",
    "COST_NANOS",
    "DIES",
    "DOOMED",
    "LEDGER",
    "PLAYBOOK",
    "PRICES",
    "Dies",
    "Doomed",
    "How",
    "LedgerModel",
    "Made",
    "Thinker",
    "made_of",
]

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


class _Running(NamedTuple):
    """One time that a handler runs. `attempt` is here because no argument of an effect may name it: another attempt does the same."""

    execution: int
    attempt: int


_running: ContextVar[_Running] = ContextVar("running")


Dies = Literal["before keyed", "after keyed", "before unkeyed", "after unkeyed"]
"""Between the intent of a call of a tool and the call, or between the call and the record of it."""
DIES: Final[tuple[Dies, ...]] = get_args(Dies)


class How(BaseModel):
    """How a request wants its tasks done.

    Attributes:
        call_s: how long each call of the model and of a tool takes.
        ask: whether a person is asked in the middle of it.
        fails: how many attempts at each task fail when their effects are done.
        size: of the text that it gives, in characters, where that is to be more.
        send: whether a tool is called at the end that does it again each time.
        dies: where the process kills itself, once a run.
    """

    model_config = ConfigDict(extra="forbid")

    call_s: float = 0.01
    ask: bool = False
    fails: int = 0
    size: int = 0
    send: bool = False
    dies: Dies | None = None


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


PRICES: Final = '{"chaos:ledger": {"input": 1, "output": 2}}'
"""US dollars for a million tokens, as `STRETTO_PRICES`."""
COST_NANOS: Final = 120_000
"""What each call of the model costs: 100 tokens read, 10 written."""


class LedgerModel:
    """Replies with the words that it is asked to say, and writes each call into the ledger. It reserves and settles as providers' do."""

    name = "chaos:ledger"

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: Callable[[str], Awaitable[None]] | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        usage = Usage(model_calls=1, input_tokens=100, output_tokens=10, cost_usd=COST_NANOS / 1e9)
        grant = await purse.for_model(self.name, input_tokens=100, output_tokens=1_000) if purse else None
        await _carry_out("model", json.loads(question))
        if grant:
            await grant.settle(usage)
        return Reply(output=output_type.model_validate({"text": instructions}), model=self.name, usage=usage)


class LedgerTool:
    """A tool with consequences: each call stands in the ledger with its idempotency key."""

    description = "Does something to the world."
    schema: Mapping[str, JsonValue] = {"type": "object"}
    output_schema: Mapping[str, JsonValue] | None = None

    def __init__(self, name: str, effects: Consequences) -> None:
        self.name = name
        self.effects: Consequences = effects

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        _die(f"before {self.effects}", arguments)
        await _carry_out(self.effects, dict(arguments), key)
        _die(f"after {self.effects}", arguments)
        return "done"


def _die(here: str, asked: Mapping[str, Any]) -> None:
    if asked["dies"] == here and _ledger().die(asked["run"]):
        os.kill(os.getpid(), signal.SIGKILL)


@functools.cache
def _ledger() -> Ledger:
    return Ledger(Path(os.environ[LEDGER]))


async def _carry_out(kind: str, asked: dict[str, Any], key: str = "") -> None:
    running = _running.get()
    effect = Effect(kind, asked["run"], asked["task"], running.attempt, asked["position"])
    call = _ledger().begin_call(running.execution, effect, key)
    await asyncio.sleep(asked["call_s"])
    _ledger().end_call(call)


class Thinker(Agent[Given, Made]):
    """Thinks, pays, asks a person if it is told to, thinks again, and sends if it is told to.

    What is sent comes last: when it is sent again, its place in the journal is another than the ledger's.
    """

    role = "think"
    description = "thinks"
    slots = 8
    tools = (LedgerTool("pay", "keyed"), LedgerTool("send", "unkeyed"))

    async def handle(self, task: Given, ctx: TaskContext) -> Made:
        key = ctx.key
        _running.set(_Running(_ledger().begin_execution(os.getpid(), key.run.run, key.task, key.attempt), key.attempt))
        place: dict[str, JsonValue] = {"run": key.run.run, "task": key.task, "call_s": task.how.call_s}
        words = "+".join(made.text for made in task.before) or f"[{task.request}]".ljust(task.how.size, ".")
        first = await self._think(ctx, words, {**place, "position": 0})
        dies = task.how.dies
        await ctx.tools.call("pay", {**place, "position": 1, "dies": dies})
        if task.how.ask:
            said = await ctx.ask_human(f"May {key.task} of {key.run.run} go on?", kind="approval")
            assert said.approved, said
        position = 3 if task.how.ask else 2
        second = await self._think(ctx, first.text, {**place, "position": position})
        if task.how.send:
            await ctx.tools.call("send", {**place, "position": position + 1, "dies": dies})
        if key.attempt <= task.how.fails:
            raise TaskRetryable("told to fail")
        return second

    async def _think(self, ctx: TaskContext, words: str, asked: dict[str, JsonValue]) -> Made:
        return (await ctx.model.generate(Made, instructions=words, question=json.dumps(asked))).output


class Doomed(Agent[Given, Made]):
    """Kills its process."""

    role = "doom"
    description = "kills its process"
    slots = 1

    async def handle(self, task: Given, ctx: TaskContext) -> Made:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it is dead")
