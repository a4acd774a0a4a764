"""Lives: a handler in one process after another, and the model and tools that it uses."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, JsonValue

from stretto.agents.context import TaskContext
from stretto.bus.step import Step
from stretto.bus.step_log import Found, StepLog
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from tests.integration.crew import Crew, Shout, Shouter, Words
from tests.integration.ground import LIMIT_S, Ground

__all__ = ["CountingModel", "FakeTool", "Line", "Lives", "look", "say", "steps_of"]


class Line(BaseModel):
    text: str


class CountingModel:
    """Says each question back with the number of the call, and keeps what it was asked. While it is not `free` it takes its time, with all
    questions or with those that are `held`.
    """

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cut_off = asyncio.Event()
        self.held: set[str] = set()
        self.free = asyncio.Event()
        self.free.set()
        self.busy = asyncio.Event()
        self.errors: dict[str, Exception] = {}
        self.padding = ""

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        self.asked.append(question)
        number = len(self.asked)
        self.busy.set()
        try:
            if not self.held or question in self.held:
                await self.free.wait()
        except asyncio.CancelledError:
            self.cut_off.set()
            raise
        if question in self.errors:
            raise self.errors[question]
        output = output_type.model_validate({"text": f"{question}#{number}{self.padding}"})
        return Reply(output, self.name, Usage(model_calls=1, output_tokens=10), confidence=0.5, request_id=f"r{number}")


class FakeTool:
    """Keeps the keys that it was called with; does nothing while it is not `free`."""

    description = "Does what it is told."
    schema: Mapping[str, JsonValue] = {"type": "object"}
    output_schema: Mapping[str, JsonValue] | None = None

    def __init__(self, name: str, effects: Literal["none", "keyed", "unkeyed"]) -> None:
        self.name = name
        self.effects = effects
        self.keys: list[str] = []
        self.free = asyncio.Event()
        self.free.set()
        self.busy = asyncio.Event()

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        self.keys.append(key)
        self.busy.set()
        await self.free.wait()
        return {"done": len(self.keys), **arguments}


async def say(ctx: TaskContext, question: str) -> str:
    return (await ctx.model.generate(Line, instructions="say", question=question)).output.text


class Lives:
    """A handler that stops for good after its first life has done what it should."""

    def __init__(self, crew: Crew, handle: Callable[[TaskContext, "Lives"], Awaitable[str]], **serve: Any) -> None:
        self.crew = crew
        self.model = CountingModel()
        self.alive = 0
        self.slots: int | None = None
        self.there = asyncio.Event()
        self._handle = handle
        self._serve = {"model": self.model, **serve}
        self._running: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Another life: what was left of the last one is cancelled, and its messages come back."""
        await self.end()
        self.alive += 1
        self.there.clear()
        self.worker, self._running = await self.crew.serve(
            Shouter(self._run), f"w{self.alive}", slots=self.slots, **self._serve
        )

    async def end(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def over(self) -> None:
        """Its worker was told to stop, and has."""
        assert self._running is not None
        async with asyncio.timeout(LIMIT_S):
            await self._running

    async def linger(self) -> None:
        """The first life ends here."""
        if self.alive == 1:
            self.there.set()
            await asyncio.Event().wait()

    async def arrived(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self.there.wait()

    async def _run(self, task: Words, ctx: TaskContext) -> Shout:
        return Shout(text=await self._handle(ctx, self))


async def steps_of(ground: Ground, key: TaskKey) -> list[Step]:
    found = await look(ground, key)
    return sorted(found.steps, key=lambda step: step.position)


async def look(ground: Ground, key: TaskKey) -> Found:
    log = StepLog(
        connection=ground.connection, subjects=ground.subjects, wire=ground.wire, key=key, sender="test", cause="test"
    )
    # The steps alone: for that, an attempt that is over counts as one that is not.
    return await log.look(result=Answer, answer=Answer)
