"""Crew: workers of one role on a real bus, and the tasks that they are given."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydantic import BaseModel

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.worker import Worker
from stretto.bus.dead_letters import DeadLetter
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.jetstream import Stored
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.task import RunTask, TaskFailure, TaskResult
from stretto.shared.memory.protocol import Memory
from stretto.shared.models.errors import CannotDo
from stretto.shared.models.protocol import Document, Model, OnText, Output, Purse, Reply
from stretto.shared.tools.protocol import Tool
from tests.integration.ground import LIMIT_S, Ground

__all__ = ["ROLE", "Crew", "Loud", "NoModel", "Shout", "Shouter", "Words", "no_memory"]

ROLE = "shouter"


class Words(BaseModel):
    text: str
    times: int = 1


class Shout(BaseModel):
    text: str
    loudness: float = 1.0
    parts: tuple[Any, ...] = ()


class Loud(Shout):
    """As a Shout, and still one."""

    very: bool = True


Handle = Callable[[Words, TaskContext], Awaitable[Any]]


class Shouter(Agent[Words, Shout]):
    role = ROLE
    description = "Says it louder."
    slots = 2

    def __init__(self, handle: Handle | None = None) -> None:
        self.calls = 0
        self._handle = handle

    async def handle(self, task: Words, ctx: TaskContext) -> Shout:
        self.calls += 1
        if self._handle is None:
            return Shout(text=task.text.upper() * task.times)
        return await self._handle(task, ctx)  # type: ignore[no-any-return]  # the tests return wrong things on purpose


class NoModel:
    name = "none"

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
        raise CannotDo(f"no means for {output_type.__name__}")


def no_memory(tenant: str) -> Memory:
    return None  # type: ignore[return-value]  # no handler of these tests looks at it


class Crew:
    """Workers of one role, and the tasks that they are given."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._serving: list[asyncio.Task[None]] = []

    async def dismiss(self) -> None:
        """End all workers; one that ended by an error fails the test."""
        for serving in self._serving:
            serving.cancel()
        for serving in self._serving:
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    async def serve(
        self,
        agent: Shouter,
        instance: str = "w1",
        *,
        model: Model | None = None,
        memory: Memory | None = None,
        tools: Sequence[Tool] = (),
        slots: int | None = None,
        **more: Any,
    ) -> tuple[Worker, asyncio.Task[None]]:
        """One more worker, on a connection of its own; `more` are further arguments of it."""
        ground = await self.ground.again()
        worker = Worker(
            agent=agent,
            connection=ground.connection,
            deployment=ground.deployment,
            wire=ground.wire,
            model=model or NoModel(),
            memory_of=(lambda _: memory) if memory else no_memory,
            instance=instance,
            tools=tools,
            slots=slots,
            replay_grace_s=0.5,
            **more,
        )
        self._serving.append(asyncio.create_task(worker.run()))
        return worker, self._serving[-1]

    def key(self, task: str = "t1", *, run: str = "r1", attempt: int = 1) -> TaskKey:
        return TaskKey(self.ground.key(run), ROLE, task, attempt)

    async def put(self, key: TaskKey, **fields: Any) -> None:
        await self.ground.queue.put(key, self.task(key, **fields))

    def task(self, key: TaskKey, **fields: Any) -> Envelope:
        known: dict[str, Any] = {"shard": 0, "task": key.task, "attempt": key.attempt, "role": key.role}
        body = RunTask.model_validate({**known, "input": {"text": "hey"}, **fields})
        return Envelope.of(body, tenant=key.run.tenant, run=key.run.run, sender="supervisor")

    async def result(self, key: TaskKey) -> TaskResult:
        """The attempt's result as soon as it is stored."""
        subject = self.ground.subjects.result(key)
        log = f"{self.ground.subjects.log(key.run)}.>"
        async with asyncio.timeout(LIMIT_S), self.ground.connection.listen(log) as news:
            while (stored := await self.ground.log.last(key.run, subject)) is None:
                await news.get()
        return await self.opened(stored)

    async def opened(self, stored: Stored) -> TaskResult:
        return open_envelope(await self.ground.wire.unpack(stored.data, stored.headers), TaskResult)

    async def failure(self, key: TaskKey) -> TaskFailure:
        result = await self.result(key)
        assert result.output is None
        assert result.failure is not None
        return result.failure

    async def letter(self, subject: str) -> DeadLetter:
        """The dead letter of a message that came on `subject`."""
        dead, stream = self.ground.subjects.any_dead(subject), self.ground.subjects.stream("DEAD")
        found: list[Stored] = []
        async with asyncio.timeout(LIMIT_S):
            while not found:
                found = await self.ground.connection.jetstream.read(stream, dead)
        return open_envelope(await self.ground.wire.unpack(found[-1].data, found[-1].headers), DeadLetter)
