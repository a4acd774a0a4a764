"""The plan and the hop by hand over nats-py: every request, task, result and answer is stored and acknowledged, and nothing else is done.

It keeps its plans in memory and recovers nothing: a limit, not a product.
"""

import asyncio
import uuid
from typing import Any

import msgpack
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, RePublish, RetentionPolicy, StreamConfig

from benchmarks.five_tasks import AFTER, PAYLOAD, ROLE_OF, ROLES, SLOTS, TASKS, TIMEOUT_S
from benchmarks.raw_loop import consume

__all__ = ["RawRequester", "plan_raw", "provision_raw", "work_raw"]

_DURABLE = "all"


async def provision_raw(url: str) -> None:
    """Create the streams: a log of requests, results and answers each, and a work queue a role."""
    nc = await nats.connect(url)
    js = nc.jetstream()
    # Who waits for a result or an answer hears of it when it is stored, without a consumer.
    told = {name: RePublish(src=f"raw.{name}.>", dest=f"raw.told.{name}.>") for name in ("answer", "hop")}
    for name in ("request", "result", "answer", "hop"):
        config = StreamConfig(name=f"RAW_{name}", subjects=[f"raw.{name}.>"], republish=told.get(name))
        await js.add_stream(config)
    for role in (*ROLES, "hop"):
        config = StreamConfig(
            name=f"RAW_TASKS_{role}", subjects=[f"raw.task.{role}.>"], retention=RetentionPolicy.WORK_QUEUE
        )
        await js.add_stream(config)
    for name in ("request", "result", *(f"TASKS_{role}" for role in (*ROLES, "hop"))):
        durable = ConsumerConfig(durable_name=_DURABLE, ack_policy=AckPolicy.EXPLICIT, max_ack_pending=10_000)
        await js.add_consumer(f"RAW_{name}", durable)
    await nc.close()


async def work_raw(url: str) -> None:
    """The workers: every role in one process."""
    nc = await nats.connect(url)
    js = nc.jetstream()

    def handler_of(log: str) -> Any:
        async def handle(msg: Msg) -> None:
            _, _, _, run, task = msg.subject.split(".")
            msgpack.unpackb(msg.data)
            await js.publish(f"raw.{log}.{run}.{task}", msgpack.packb({"text": PAYLOAD}))
            await msg.ack()

        return handle

    async with asyncio.TaskGroup() as group:
        for role in ROLES:
            group.create_task(consume(nc, f"RAW_TASKS_{role}", _DURABLE, handler_of("result"), SLOTS))
        group.create_task(consume(nc, "RAW_TASKS_hop", _DURABLE, handler_of("hop"), SLOTS))


class _Planner:
    """Puts each task on its queue as soon as its inputs are there."""

    def __init__(self, nc: Client) -> None:
        self._js = nc.jetstream()
        self._outputs: dict[str, dict[str, Any]] = {}
        self._requests: dict[str, Msg] = {}

    async def begin(self, msg: Msg) -> None:
        run = msg.subject.split(".")[2]
        self._outputs[run] = {"request": msgpack.unpackb(msg.data)}
        self._requests[run] = msg
        await asyncio.gather(*(self._put(run, task) for task in TASKS if not AFTER[task]))

    async def go_on(self, msg: Msg) -> None:
        _, _, run, task = msg.subject.split(".")
        outputs = self._outputs[run]
        outputs[task] = msgpack.unpackb(msg.data)
        due = [one for one in TASKS if task in AFTER[one] and all(other in outputs for other in AFTER[one])]
        if due:
            await asyncio.gather(*(self._put(run, one) for one in due))
        elif len(outputs) > len(TASKS):
            await self._js.publish(f"raw.answer.{run}", msgpack.packb(outputs.pop(task)))
            del self._outputs[run]
            await self._requests.pop(run).ack()
        await msg.ack()

    async def _put(self, run: str, task: str) -> None:
        outputs = self._outputs[run]
        work = {"request": outputs["request"], "inputs": [outputs[one] for one in AFTER[task]]}
        await self._js.publish(f"raw.task.{ROLE_OF[task]}.{run}.{task}", msgpack.packb(work))


async def plan_raw(url: str) -> None:
    """The planner, in a process of its own as a supervisor is."""
    nc = await nats.connect(url)
    planner = _Planner(nc)
    async with asyncio.TaskGroup() as group:
        group.create_task(consume(nc, "RAW_request", _DURABLE, planner.begin, 4 * SLOTS))
        group.create_task(consume(nc, "RAW_result", _DURABLE, planner.go_on, 4 * SLOTS))


class RawRequester:
    """Asks, and waits for what comes."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._js = nc.jetstream()
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    @classmethod
    async def open(cls, url: str) -> "RawRequester":
        self = cls(await nats.connect(url))
        await self._nc.subscribe("raw.told.*.>", cb=self._receive)
        return self

    async def close(self) -> None:
        await self._nc.close()

    async def hop(self) -> None:
        run = uuid.uuid4().hex
        await self._ask(run, f"raw.task.hop.{run}.a", {"request": PAYLOAD, "inputs": []})

    async def plan(self) -> None:
        run = uuid.uuid4().hex
        await self._ask(run, f"raw.request.{run}", PAYLOAD)

    async def _ask(self, run: str, subject: str, question: object) -> None:
        future = self._waiting[run] = asyncio.get_running_loop().create_future()
        await self._js.publish(subject, msgpack.packb(question))
        async with asyncio.timeout(TIMEOUT_S):
            answer = msgpack.unpackb(await future)
        assert answer["text"] == PAYLOAD

    async def _receive(self, msg: Msg) -> None:
        self._waiting.pop(msg.subject.split(".")[3]).set_result(msg.data)
