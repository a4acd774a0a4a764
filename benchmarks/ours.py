"""The same plan and hop by Stretto: its supervisor, its workers and its client as they are."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from nats.aio.msg import Msg
from pydantic import BaseModel

from benchmarks.five_tasks import PAYLOAD, PLAYBOOK, ROLES, SLOTS, TIMEOUT_S
from stretto.agents import Agent
from stretto.agents.context import TaskContext
from stretto.agents.worker import Worker
from stretto.bus.artifacts import Artifacts
from stretto.bus.client import Client
from stretto.bus.connection import Connection, ConnectionOptions
from stretto.bus.envelope import Envelope, new_id, open_envelope
from stretto.bus.provisioning import provision
from stretto.bus.registry import Registry
from stretto.bus.streams import Deployment, deployment_streams
from stretto.bus.subjects import RunKey, Subjects, TaskKey
from stretto.bus.task_queue import TaskQueue
from stretto.bus.wire import Wire
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import RunTask, TaskResult
from stretto.shared.memory.client import MemoryClient
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from stretto.supervisor.choose import Chooser
from stretto.supervisor.decide import Limits
from stretto.supervisor.loop import Supervisor
from stretto.supervisor.playbooks import Playbooks
from stretto.supervisor.router import Router

__all__ = ["OurRequester", "supervise_ours", "work_ours"]

_PLANS = Deployment(subjects=Subjects("bench"))
_HOPS = Deployment(subjects=Subjects("hops"))
"""Hops have a deployment without a supervisor: it would take their results for strays."""
_HOP_ROLE = ROLES[0]


class _Task(BaseModel):
    request: str


class _Text(BaseModel):
    text: str


def _agent_of(role_name: str) -> Agent[_Task, _Text]:
    class Returns(Agent[_Task, _Text]):
        role = role_name
        description = "Returns at once."
        slots = SLOTS

        async def handle(self, task: _Task, ctx: TaskContext) -> _Text:
            return _Text(text=PAYLOAD)

    return Returns()


class _NoModel:
    """These agents ask no model."""

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
        raise NotImplementedError


def _no_memory(tenant: str) -> NoReturn:
    raise NotImplementedError


async def _open(url: str) -> Connection:
    return await Connection.open(ConnectionOptions(url, wait_s=10))


def _wire(connection: Connection, deployment: Deployment) -> Wire:
    return Wire(artifacts=Artifacts(connection=connection, subjects=deployment.subjects))


async def work_ours(url: str) -> None:
    """The workers: every role in one process, and the one of the hops."""
    connection = await _open(url)
    async with asyncio.TaskGroup() as group:
        for deployment, role in [(_HOPS, _HOP_ROLE), *((_PLANS, role) for role in ROLES)]:
            wire = _wire(connection, deployment)

            def memory_of(tenant: str, deployment: Deployment = deployment, wire: Wire = wire) -> MemoryClient:
                return MemoryClient(
                    connection=connection, subjects=deployment.subjects, wire=wire, tenant=tenant, sender="bench"
                )

            worker = Worker(
                agent=_agent_of(role),
                connection=connection,
                deployment=deployment,
                wire=wire,
                model=_NoModel(),
                memory_of=memory_of,
                instance=f"{role}-1",
            )
            group.create_task(worker.run())


async def supervise_ours(url: str) -> None:
    """The supervisor."""
    connection = await _open(url)
    artifacts = Artifacts(connection=connection, subjects=_PLANS.subjects)
    playbooks = Playbooks.load([Path(__file__).parent / "playbooks"])
    await Supervisor(
        connection=connection,
        deployment=_PLANS,
        wire=Wire(artifacts=artifacts),
        artifacts=artifacts,
        chooser=Chooser(playbooks=playbooks, router=Router(playbooks=playbooks)),
        limits=Limits(),
        instance="supervisor-1",
    ).run()


class OurRequester:
    """Asks, and waits for what comes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = Client(connection=connection, deployment=_PLANS)
        self._wire = _wire(connection, _HOPS)
        self._queue = TaskQueue(connection=connection, deployment=_HOPS, wire=self._wire)
        self._waiting: dict[str, asyncio.Future[Msg]] = {}

    @classmethod
    async def open(cls, url: str) -> "OurRequester":
        """Provision what hops need, and wait until everybody is there."""
        connection = await _open(url)
        self = cls(connection)
        for spec in deployment_streams(_HOPS):
            await provision(connection, spec)
        await self._queue.provision(_HOP_ROLE)
        for deployment, roles in ((_PLANS, (*ROLES, "supervisor")), (_HOPS, (_HOP_ROLE,))):
            async with Registry(connection=connection, subjects=deployment.subjects) as registry:
                if not await registry.wait_for(*roles, timeout_s=TIMEOUT_S):
                    raise TimeoutError(f"not all of {', '.join(roles)} came up")
        await connection.subscribe(f"{_HOPS.subjects.prefix}.log.>", self._receive)
        return self

    async def close(self) -> None:
        await self._connection.close()

    async def hop(self) -> None:
        key = TaskKey(RunKey.of("default", new_id(), _HOPS.shards), _HOP_ROLE, "a", 1)
        task = RunTask(
            shard=key.run.shard, task=key.task, attempt=key.attempt, role=key.role, input={"request": PAYLOAD}
        )
        future = self._waiting[key.run.run] = asyncio.get_running_loop().create_future()
        await self._queue.put(key, Envelope.of(task, tenant=key.run.tenant, run=key.run.run, sender="bench"))
        async with asyncio.timeout(TIMEOUT_S):
            msg = await future
        result = open_envelope(await self._wire.unpack(msg.data, msg.headers), TaskResult)
        assert result.output == {"text": PAYLOAD}

    async def plan(self) -> None:
        run = await self._client.submit(Request(text=PAYLOAD, playbook=PLAYBOOK))
        answer = open_envelope(await self._client.result(run, timeout_s=TIMEOUT_S), Answer)
        assert answer.text == PAYLOAD, answer.reason

    async def _receive(self, msg: Msg) -> None:
        self._waiting.pop(msg.subject.split(".")[4]).set_result(msg)
