"""World: supervisors, agents and a requester in one process, on a real server, for tests of how they work together."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.worker import Worker
from stretto.bus.artifacts import Artifacts
from stretto.bus.client import Client, RunMessage
from stretto.bus.codec import encode
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.streams import SUPERVISORS, Deployment
from stretto.bus.subjects import Subjects
from stretto.bus.wire import Wire
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.request import Request
from stretto.shared.memory.client import MemoryClient
from stretto.shared.models.errors import CannotDo
from stretto.shared.models.protocol import Document, Model, OnText, Output, Purse, Reply
from stretto.supervisor.choose import Chooser
from stretto.supervisor.decide import Limits
from stretto.supervisor.loop import Supervisor
from stretto.supervisor.playbooks import Playbooks
from stretto.supervisor.router import Router

__all__ = ["LIMIT_S", "Given", "Made", "World", "agent_of", "eventually", "open_world"]

LIMIT_S = 30.0
"""How long a test waits for something that should happen soon."""


class Given(BaseModel):
    """Input of the test's agents: whatever the playbook hands over."""

    model_config = {"extra": "allow"}

    request: str = ""


class Made(BaseModel):
    """Output of the test's agents; extra fields make it a review, an escalation, and so on."""

    model_config = {"extra": "allow"}

    text: str = ""


class NoModel:
    """For agents that do not think."""

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
        raise CannotDo(f"nobody gave this agent a model for {output_type.__name__}")


Handler = Callable[[Given, TaskContext], Awaitable[BaseModel]]


def agent_of(role: str, handler: Handler, output: type[BaseModel] = Made) -> Agent[Any, Any]:
    """An agent that does what `handler` does."""

    class TestAgent(Agent[Given, BaseModel]):
        description = "for tests"
        slots = 32

        async def handle(self, task: Given, ctx: TaskContext) -> BaseModel:
            return await handler(task, ctx)

    TestAgent.role = role
    agent = TestAgent()
    agent.output_type = output
    return agent


@dataclass
class World:
    """One deployment.

    Attributes:
        client: speaks for tenant `default`, principal `local`.
    """

    url: str
    deployment: Deployment
    folder: Path
    limits: Limits
    client: Client
    connection: Connection
    group: asyncio.TaskGroup
    closing: contextlib.AsyncExitStack
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    supervisors: dict[str, Supervisor] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)

    @property
    def subjects(self) -> Subjects:
        return self.deployment.subjects

    @property
    def wire(self) -> Wire:
        return Wire(artifacts=Artifacts(connection=self.connection, subjects=self.subjects))

    async def connect(self, name: str) -> Connection:
        return await self.closing.enter_async_context(await Connection.open(ConnectionOptions(self.url, name=name)))

    async def supervise(self, instance: str, **options: Any) -> asyncio.Task[None]:
        """A supervisor on a connection of its own; cancel the task to have it die without a word. `options` are further ones of its own."""
        connection = await self.connect(instance)
        artifacts = Artifacts(connection=connection, subjects=self.deployment.subjects)
        playbooks = Playbooks.load([self.folder])
        supervisor = Supervisor(
            connection=connection,
            deployment=self.deployment,
            wire=Wire(artifacts=artifacts),
            artifacts=artifacts,
            chooser=Chooser(playbooks=playbooks, router=Router(playbooks=playbooks)),
            limits=self.limits,
            instance=instance,
            **options,
        )
        self.supervisors[instance] = supervisor
        return self._start(supervisor.run())

    async def serve(
        self,
        agent: Agent[Any, Any],
        instance: str,
        model: Model | None = None,
        *,
        slots: int | None = None,
        **options: Any,
    ) -> asyncio.Task[None]:
        """An agent on a connection of its own. `options` are further ones of its worker."""
        connection = await self.connect(instance)
        subjects = self.deployment.subjects
        wire = Wire(artifacts=Artifacts(connection=connection, subjects=subjects))
        worker = Worker(
            agent=agent,
            connection=connection,
            deployment=self.deployment,
            wire=wire,
            model=model or NoModel(),
            memory_of=lambda tenant: MemoryClient(
                connection=connection, subjects=subjects, wire=wire, tenant=tenant, sender=instance
            ),
            instance=instance,
            slots=slots,
            **options,
        )
        self.workers[instance] = worker
        return self._start(worker.run())

    async def ask(self, text: str = "why?", *, run: str | None = None, **fields: Any) -> Answer:
        """Submit a request and wait for the answer."""
        run = await self.client.submit(Request(text=text, **fields), run=run)
        return await self.answer(run)

    async def answer(self, run: str, *, timeout_s: float = 30.0) -> Answer:
        return open_envelope(await self.client.result(run, timeout_s=timeout_s), Answer)

    async def asked(self, run: str, count: int = 1) -> list[Question]:
        """Wait until the run has asked so many questions; return them."""
        found: list[Question] = []
        async with asyncio.timeout(LIMIT_S), contextlib.aclosing(self.client.events(run)) as events:
            async for event in events:
                if isinstance(event, RunMessage) and event.subject.kind == "question":
                    found.append(open_envelope(event.envelope, Question))
                if len(found) == count:
                    return found
        raise AssertionError(f"the run ended with {len(found)} questions asked, not {count}")

    async def settle(
        self, run: str, question: Question, verb: Literal["answer", "approve", "reject"], text: str = ""
    ) -> None:
        """Decide a question, as whoever has the right does."""
        key = self.client.key(run)
        command = Command(verb=verb, question=question.id, text=text)
        envelope = Envelope.of(command, tenant=key.tenant, run=run, sender="local")
        await self.connection.jetstream.store(
            self.subjects.command(key, "local", question.id),
            encode(envelope),
            expect=0,
            expect_on=self.subjects.any_command(key, question.id),
        )

    async def parked(self) -> None:
        """Wait until no supervisor holds anything: every open run waits for people or the clock alone."""

        async def nothing_held() -> bool:
            return not any([await self.unacknowledged(shard) for shard in range(self.deployment.shards)])

        await eventually(nothing_held)

    async def provisioned(self) -> None:
        """Wait until a supervisor has made the streams."""
        async with asyncio.timeout(LIMIT_S):
            while "error" in await self.connection.jetstream.api(f"STREAM.INFO.{self.subjects.stream('DEAD')}"):
                pass

    async def depth(self, stream: str) -> int:
        """How many messages a stream holds."""
        return int((await self.connection.jetstream.api(f"STREAM.INFO.{stream}"))["state"]["messages"])

    async def unacknowledged(self, shard: int = 0) -> int:
        """How many of a shard's messages its supervisor holds: the leases of its open runs, and what is in hand."""
        stream = self.subjects.runs_stream(shard)
        info = await self.connection.jetstream.api(f"CONSUMER.INFO.{stream}.{SUPERVISORS}")
        return int(info["num_ack_pending"]) + int(info["num_pending"])

    def playbook(self, name: str, text: str) -> None:
        """Add a playbook; supervisors that start from now on know it."""
        (self.folder / f"{name}.yaml").write_text(f"name: {name}\ndescription: for tests\n{text}")

    def _start(self, work: Any) -> asyncio.Task[None]:
        task = self.group.create_task(work)
        self.tasks.append(task)
        return task


@contextlib.asynccontextmanager
async def open_world(
    url: str, deployment: Deployment, folder: Path, *, limits: Limits | None = None
) -> AsyncGenerator[World]:
    """A world; everything in it ends with the block."""
    async with contextlib.AsyncExitStack() as closing, asyncio.TaskGroup() as group:
        connection = await closing.enter_async_context(await Connection.open(ConnectionOptions(url, name="requester")))
        client = Client(connection=connection, deployment=deployment)
        world = World(url, deployment, folder, limits or Limits(), client, connection, group, closing)
        try:
            yield world
        finally:
            await _cancel(world.tasks)


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, by asking the server, until it is so."""
    async with asyncio.timeout(LIMIT_S):
        while not await look():
            pass


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
