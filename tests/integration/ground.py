"""Ground: one provisioned deployment on a real server, and a server of one's own that can be killed, for the tests of the bus."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

import psutil
from pydantic import Field

from stretto.bus.artifacts import Artifacts
from stretto.bus.client import Client
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.consume import Consumer, ConsumerOptions, Handler
from stretto.bus.envelope import Envelope
from stretto.bus.message import Message
from stretto.bus.provisioning import provision
from stretto.bus.run_log import RunLog
from stretto.bus.server import EmbeddedServer, ServerOptions
from stretto.bus.streams import SUPERVISORS, Deployment, deployment_streams
from stretto.bus.subjects import RunKey, Subjects
from stretto.bus.task_consumer import TaskConsumer
from stretto.bus.task_queue import TaskQueue
from stretto.bus.wire import Wire

__all__ = ["LIMIT_S", "Ground", "MortalServer", "Note", "Running", "open_ground", "wrap"]

LIMIT_S = 30.0
"""How long a test waits for something that should happen at once."""


class Note(Message):
    """A message for tests."""

    TYPE: ClassVar[str] = "note"
    text: str = ""
    more: dict[str, str] = Field(default_factory=dict)


def wrap(note: Message, key: RunKey, *, message_id: str | None = None, sender: str = "tester") -> Envelope:
    return Envelope.of(note, tenant=key.tenant, run=key.run, sender=sender, message_id=message_id)


@dataclass
class Ground:
    """One deployment with one shard, and what a process of it holds in hand."""

    url: str
    deployment: Deployment
    connection: Connection
    closing: contextlib.AsyncExitStack
    artifacts: Artifacts = field(init=False)
    wire: Wire = field(init=False)
    log: RunLog = field(init=False)
    queue: TaskQueue = field(init=False)
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.artifacts = Artifacts(connection=self.connection, subjects=self.subjects)
        self.wire = Wire(artifacts=self.artifacts)
        self.log = RunLog(connection=self.connection, subjects=self.subjects, wire=self.wire)
        self.queue = TaskQueue(connection=self.connection, deployment=self.deployment, wire=self.wire)
        self.client = Client(connection=self.connection, deployment=self.deployment)

    @property
    def subjects(self) -> Subjects:
        return self.deployment.subjects

    @property
    def shard(self) -> str:
        """The stream of the one shard."""
        return self.subjects.runs_stream(0)

    def key(self, run: str = "r1") -> RunKey:
        return RunKey(0, "default", run)

    async def connect(self, name: str = "other", *, timeout_s: float = 10.0) -> Connection:
        """One more connection, as another process would have it."""
        options = ConnectionOptions(self.url, name=name, timeout_s=timeout_s)
        return await self.closing.enter_async_context(await Connection.open(options))

    async def again(self) -> "Ground":
        """The same deployment as another process sees it."""
        return Ground(self.url, self.deployment, await self.connect(), self.closing)

    def pinned(self, connection: Connection | None = None, *, slots: int = 16) -> Consumer:
        """A supervisor's consumer of the one shard."""
        options = ConsumerOptions(self.shard, SUPERVISORS, slots, group=SUPERVISORS, expires_s=2.0, heartbeat_s=1.0)
        return Consumer(connection=connection or self.connection, options=options)

    async def request(self, run: str, text: str = "hi") -> int:
        """Store a request, whose delivery supervisors get; return its sequence."""
        key = self.key(run)
        return await self.log.append(key, self.subjects.request(key, "ann"), wrap(Note(text=text), key), after=0)

    async def depth(self, stream: str) -> int:
        """How many messages a stream holds."""
        return int((await self.connection.jetstream.api(f"STREAM.INFO.{stream}"))["state"]["messages"])

    async def settled(self, stream: str, count: int) -> None:
        """Ask until a stream holds `count` messages: the server works acknowledgements off beside its answers."""
        found = -1
        try:
            async with asyncio.timeout(LIMIT_S):
                while found != count:
                    found = await self.depth(stream)
        except TimeoutError:
            raise AssertionError(f"{stream} holds {found} messages, not {count}") from None


@contextlib.asynccontextmanager
async def open_ground(url: str, prefix: str, **fields: float) -> AsyncGenerator[Ground]:
    """A provisioned deployment; `fields` are those of `Deployment`."""
    deployment = Deployment(subjects=Subjects(prefix), **{"shards": 1, **fields})  # type: ignore[arg-type]
    async with contextlib.AsyncExitStack() as closing:
        connection = await closing.enter_async_context(await Connection.open(ConnectionOptions(url, name="test")))
        ground = Ground(url, deployment, connection, closing)
        for spec in deployment_streams(deployment):
            await provision(connection, spec)
        await ground.artifacts.provision()
        yield ground


class MortalServer:
    """A server of the test's own. Killed, it says nothing to anybody; restarted, it has its port and its store."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._server = EmbeddedServer(ServerOptions(data_dir=data_dir, stop_limit_s=0.5, sync_always=False))

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.signal(signal.SIGCONT)
        await self._server.stop()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def pid(self) -> int:
        (ports,) = (self._data_dir / "ports").glob("*.ports")
        return int(ports.stem.rpartition("_")[2])

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def freeze(self) -> None:
        """Have it answer nothing from now on."""
        self.signal(signal.SIGSTOP)
        server = psutil.Process(self.pid)
        give_up_at = time.monotonic() + LIMIT_S
        while server.status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < give_up_at, "the server cannot be frozen"

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        async with asyncio.timeout(LIMIT_S):
            await self._server.wait()

    async def restart(self) -> None:
        await self._server.restart()


AnyConsumer = TypeVar("AnyConsumer", Consumer, TaskConsumer)


class Running(Generic[AnyConsumer]):
    """A consumer at work, as a background task of a test."""

    def __init__(self, group: asyncio.TaskGroup, consumer: AnyConsumer, handler: Handler) -> None:
        self.consumer: AnyConsumer = consumer
        self.task = group.create_task(consumer.run(handler))

    async def stop(self) -> None:
        self.consumer.stop()
        async with asyncio.timeout(LIMIT_S):
            await self.task

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task], timeout=LIMIT_S)
