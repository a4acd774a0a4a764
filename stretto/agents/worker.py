"""Worker: runs one agent as a service. It pulls tasks, lets the agent do them, and writes each result once."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from stretto import __version__
from stretto.agents.agent import Agent
from stretto.agents.context import MeteredModel, ScopedMemory, TaskContext
from stretto.agents.errors import AgentError, TaskMisconfigured, TaskPermanent, TaskRetryable
from stretto.bus.agent_card import AgentCard
from stretto.bus.codec import encode
from stretto.bus.connection import Connection
from stretto.bus.dead_letters import DeadLetters
from stretto.bus.delivery import Ack, Delivery, Disposition, Nak
from stretto.bus.envelope import Envelope, describe, open_envelope
from stretto.bus.errors import BusError, DecodeError, RetryLater, TooLarge
from stretto.bus.registry import Announcer
from stretto.bus.run_log import RunLog
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey, TaskKey
from stretto.bus.task_queue import TaskQueue
from stretto.bus.wire import Wire
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.task import RunTask, TaskFailure, TaskResult
from stretto.shared.memory.errors import MemoryFailed, MemoryRefused
from stretto.shared.memory.protocol import Memory
from stretto.shared.models.errors import CannotDo
from stretto.shared.models.protocol import Model

__all__ = ["Worker"]

_log = logging.getLogger(__name__)
_SHOWN_AFTER_S = 0.05
"""Whoever watches is told of the start of a task that takes longer: most others would be over before they are read of."""
_WRITE_AGAIN_S = (0.25, 1.0, 2.0, 5.0, 10.0)
_OUTPUT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, JsonValue], config=ConfigDict(allow_inf_nan=False))


class Worker:
    """One process's service of one role.

    `run` returns after `stop`, when the tasks in hand are done; cancelling `run` cancels them, and they come to another agent.
    """

    def __init__(
        self,
        *,
        agent: Agent[Any, Any],
        connection: Connection,
        deployment: Deployment,
        wire: Wire,
        model: Model,
        memory_of: Callable[[str], Memory],
        instance: str,
        slots: int | None = None,
    ) -> None:
        self._agent = agent
        self._connection = connection
        self._subjects = deployment.subjects
        self._shards = deployment.shards
        self._wire = wire
        self._model = model
        self._memory_of = memory_of
        self._instance = instance
        self._slots = slots or agent.slots
        self._input_schema: dict[str, Any] = agent.input_type.model_json_schema()
        self._output_schema: dict[str, Any] = agent.output_type.model_json_schema()
        self._started_at = datetime.now(UTC)
        self._beside: asyncio.TaskGroup | None = None
        self._log = RunLog(connection=connection, subjects=self._subjects, wire=wire)
        self._dead = DeadLetters(connection=connection, subjects=self._subjects, wire=wire, sender=instance)
        queue = TaskQueue(connection=connection, deployment=deployment, wire=wire)
        self._consumer = queue.consumer(agent.role, slots=self._slots)

    async def run(self) -> None:
        """Serve the role until `stop`."""
        announcer = Announcer(connection=self._connection, subjects=self._subjects, card=self._card)
        async with asyncio.TaskGroup() as self._beside:
            announcing = self._beside.create_task(announcer.run())
            try:
                await self._consumer.run(self._handle)
            finally:
                announcing.cancel()

    def stop(self) -> None:
        """Take no more tasks; those in hand are finished."""
        self._consumer.stop()

    def _card(self) -> AgentCard:
        return AgentCard(
            role=self._agent.role,
            instance=self._instance,
            description=self._agent.description,
            version=__version__,
            started_at=self._started_at,
            slots=self._slots,
            busy=self._consumer.busy,
            models=(self._model.name,),
            input_schema=self._input_schema,
            output_schema=self._output_schema,
        )

    async def _handle(self, delivery: Delivery) -> Disposition:
        try:
            envelope = await self._wire.unpack(delivery.data, delivery.headers)
            task = open_envelope(envelope, RunTask)
            key = self._key(delivery, envelope, task)
        except DecodeError as error:
            _log.warning("%s: dead letter: %s", delivery.subject, error)
            return await self._dead.bury(delivery, str(error))
        # A redelivery may be of a task that is done: acknowledgements are not durable, results are.
        if await self._log.holds(key.run, self._subjects.result(key), TaskResult):
            return Ack()
        result = await self._attempt(key, task, envelope)
        return await self._write(key, result, envelope)

    def _key(self, delivery: Delivery, envelope: Envelope, task: RunTask) -> TaskKey:
        key = TaskKey(RunKey(task.shard, envelope.tenant, envelope.run), task.role, task.task, task.attempt)
        if delivery.subject != self._subjects.task(key):
            raise DecodeError("the task says another tenant, run, role, task or attempt than its subject")
        if task.shard >= self._shards:
            raise DecodeError(f"the task's run is in shard {task.shard} of {self._shards}")
        return key

    async def _attempt(self, key: TaskKey, task: RunTask, envelope: Envelope) -> TaskResult:
        model = MeteredModel(self._model)
        began = time.monotonic()
        starting = asyncio.get_running_loop().call_later(_SHOWN_AFTER_S, self._tell_start, key)
        output: dict[str, Any] | None = None
        failure: TaskFailure | None = None
        try:
            output = await self._call(key, task, model)
        except (AgentError, CannotDo, MemoryFailed, RetryLater) as error:
            failure = _failure(error)
        except Exception as error:  # noqa: BLE001 (the edge of a handler: whatever it raises is this attempt's outcome)
            _log.warning("%s %s of run %s failed", key.role, key.task, key.run.run, exc_info=True)
            failure = _failure(error)
        finally:
            starting.cancel()
        return TaskResult(
            task=key.task,
            attempt=key.attempt,
            role=key.role,
            agent=self._instance,
            output=output,
            failure=failure,
            usage=model.usage,
            models=tuple(model.models),
            seconds=time.monotonic() - began,
        )

    async def _call(self, key: TaskKey, task: RunTask, model: MeteredModel) -> dict[str, Any]:
        try:
            given = self._agent.input_type.model_validate(task.input)
        except ValidationError as error:
            raise TaskPermanent(f"the task's input does not fit {self._agent.role}: {describe(error)}") from error
        context = TaskContext(
            key=key,
            model=model,
            memory=ScopedMemory(self._memory_of(key.run.tenant), task.scope),
            deadline=task.deadline,
            progress=lambda text: self._report(key, "note", text),
        )
        limit = asyncio.timeout(_left_s(task))
        try:
            async with limit:
                output: BaseModel = await self._agent.handle(given, context)
        except TimeoutError as error:
            if not limit.expired():  # the agent's own, about something else
                raise
            raise TaskRetryable("not finished within its time") from error
        expected: type[BaseModel] = self._agent.output_type
        if not isinstance(output, expected):
            name = type(self._agent).__name__
            raise TaskPermanent(f"{name}.handle returned {type(output).__name__}, not {expected.__name__}")
        try:
            return _OUTPUT.validate_python(output.model_dump(mode="json"))
        except (ValidationError, PydanticSerializationError) as error:
            why = describe(error) if isinstance(error, ValidationError) else "it holds what JSON cannot say"
            raise TaskPermanent(f"{type(self._agent).__name__}.handle returned what cannot travel: {why}") from error

    async def _write(self, key: TaskKey, result: TaskResult, cause: Envelope) -> Disposition:
        """Write the result once. While the bus is away the lease is kept and the result is not lost: it is tried again."""
        for pause_s in (*_WRITE_AGAIN_S, None):
            try:
                envelope = self._wrap(key, result, cause)
                await self._log.write_once(key.run, self._subjects.result(key), result, envelope)
            except TooLarge as error:
                result = result.model_copy(update={"output": None, "failure": _failure(error)})
            except RetryLater as error:
                _log.warning("result of %s %s cannot be written now: %s", key.role, key.task, error)
                if pause_s is None:
                    return Nak(delay_s=1.0)
                await asyncio.sleep(pause_s)
            else:
                return Ack()  # ours, or one that was first: either way the task has its result
        return Nak(delay_s=1.0)

    def _wrap(self, key: TaskKey, result: TaskResult, cause: Envelope) -> Envelope:
        return Envelope.of(result, tenant=key.run.tenant, run=key.run.run, sender=self._instance, cause=cause.id)

    def _tell_start(self, key: TaskKey) -> None:
        if self._beside is not None:
            self._beside.create_task(self._report(key, "started", f"{key.role} begins"))

    async def _report(self, key: TaskKey, kind: str, text: str) -> None:
        progress = Progress.model_validate(
            {
                "kind": kind,
                "role": key.role,
                "task": key.task,
                "attempt": key.attempt,
                "agent": self._instance,
                "text": text,
            }
        )
        envelope = Envelope.of(progress, tenant=key.run.tenant, run=key.run.run, sender=self._instance)
        with contextlib.suppress(BusError):  # progress is never worth a task
            await self._connection.publish(self._subjects.progress(key.run, key.role), encode(envelope))


def _left_s(task: RunTask) -> float | None:
    """Seconds that an attempt has from now on."""
    limits_s = [task.time_limit_s] if task.time_limit_s else []
    if task.deadline:
        limits_s.append((task.deadline - datetime.now(UTC)).total_seconds())
    return min(limits_s, default=None)


def _failure(error: Exception) -> TaskFailure:
    """What an error means for the next attempt. Texts of unknown errors may hold content: only their names are told."""
    match error:
        case TaskMisconfigured():
            kind, message = "misconfigured", str(error)
        case TaskPermanent() | CannotDo() | MemoryRefused() | TooLarge():
            kind, message = "permanent", str(error)
        case AgentError() | MemoryFailed() | RetryLater():
            kind, message = "retryable", str(error)
        case _:
            kind, message = "retryable", "the agent failed; its log says where"
    return TaskFailure.model_validate({"kind": kind, "error": type(error).__name__, "message": message})
