"""Abandoned tasks: those that the server delivers no more, because no agent that had them came to an end with them.

Which of the tasks that a process had in hand killed it is not known. So after some deliveries each becomes a suspect, is given to one
agent at a time, and only if that one dies too (or falls silent) it is given up.
"""

import logging
from dataclasses import replace
from typing import Annotated, Final

from pydantic import BaseModel, Field

from stretto.bus.connection import Connection
from stretto.bus.consume import Consumer, ConsumerOptions
from stretto.bus.dead_letters import DeadLetters
from stretto.bus.delivery import Ack, Delivery, Disposition, Nak
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import DecodeError, RetryLater, StreamMissing
from stretto.bus.jetstream import Stored
from stretto.bus.run_log import RunLog
from stretto.bus.streams import SUPERVISORS, Deployment
from stretto.bus.subjects import RunKey, TaskKey
from stretto.bus.task_queue import TaskQueue
from stretto.bus.wire import Wire
from stretto.shared.contracts.task import RunTask, TaskFailure, TaskResult

__all__ = ["AbandonedTasks"]

_log = logging.getLogger(__name__)
_SLOTS: Final = 8
_COME_BACK_S: Final = 1.0
_EXHAUSTED: Final = "DeliveriesExhausted"


class _Advisory(BaseModel):
    """What the server says about a message that it delivers no more (ADR-25 names the type `max_deliver`)."""

    stream: str
    stream_seq: Annotated[int, Field(gt=0)]


class AbandonedTasks:
    """Takes them from their queues: as suspects, then as dead letters and failed attempts. Nothing else tells that they lie there.

    Every supervisor takes part; doing it twice changes nothing.
    """

    def __init__(self, *, connection: Connection, deployment: Deployment, wire: Wire, instance: str) -> None:
        self._connection = connection
        self._subjects = deployment.subjects
        self._wire = wire
        self._instance = instance
        self._deliveries = deployment.max_deliver
        self._log = RunLog(connection=connection, subjects=self._subjects, wire=wire)
        self._queue = TaskQueue(connection=connection, deployment=deployment, wire=wire)
        self._dead = DeadLetters(connection=connection, subjects=self._subjects, wire=wire, sender=instance)
        self._consumer = Consumer(
            connection=connection,
            options=ConsumerOptions(
                stream=self._subjects.stream("ADVISORIES"),
                consumer=SUPERVISORS,
                slots=_SLOTS,
                renew_s=deployment.run_lease_s / 3,
            ),
        )

    async def run(self) -> None:
        """End abandoned tasks until `stop`."""
        await self._consumer.run(self._handle)

    def stop(self) -> None:
        """Take in no more."""
        self._consumer.stop()

    async def _handle(self, delivery: Delivery) -> Disposition:
        try:
            advisory = _Advisory.model_validate_json(delivery.data)
        except ValueError as error:
            _log.warning("%s: not an advisory of the server: %s", delivery.subject, type(error).__name__)
            return await self._dead.bury(delivery, "it is not an advisory of the server", error=error)
        if not advisory.stream.startswith(self._subjects.stream("TASKS_")):  # anybody may say so of any stream
            _log.warning("%s: an advisory of another stream than a queue of ours", delivery.subject)
            return await self._dead.bury(delivery, "it is about no task queue of this deployment", kind="unverified")
        try:
            await self._end(advisory, delivery)
        except (RetryLater, StreamMissing) as error:
            _log.warning("message %d of %s: %s; it comes again", advisory.stream_seq, advisory.stream, error)
            return Nak(delay_s=_COME_BACK_S)
        return Ack()

    async def _end(self, advisory: _Advisory, delivery: Delivery) -> None:
        message = await self._connection.jetstream.get(advisory.stream, advisory.stream_seq)
        # A queue whose server crashed may have given the number to another message since.
        if message is None or message.at > delivery.at:
            return
        task = replace(message, subject=self._subjects.suspected(message.subject))
        key = await self._key(task)
        if key is None or not await self._log.holds(key.run, self._subjects.result(key), TaskResult):
            if task.subject == message.subject:
                _log.warning("%s: whoever had it died or fell silent: a suspect from now on", task.subject)
                await self._queue.suspect(advisory.stream, task)
                return
            await self._give_up(key, task, advisory.stream)
        await self._queue.remove(advisory.stream, message.subject)

    async def _key(self, message: Stored) -> TaskKey | None:
        """Which attempt the message asks for, if it can be read."""
        try:
            envelope = await self._wire.unpack(message.data, message.headers)
            task = open_envelope(envelope, RunTask)
            key = TaskKey(RunKey(task.shard, envelope.tenant, envelope.run), task.role, task.task, task.attempt)
        except DecodeError:
            return None
        return key if message.subject == self._subjects.task(key, len(task.settled)) else None

    async def _give_up(self, key: TaskKey | None, task: Stored, stream: str) -> None:
        """Keep the dead letter first: whoever does this again after a crash finds no result yet."""
        reason = f"given up after {self._deliveries} deliveries: each time the agent that had it died or fell silent"
        _log.warning("%s: dead letter: %s", task.subject, reason)
        await self._dead.keep(
            task, stream=stream, kind="exhausted", reason=reason, error=_EXHAUSTED, deliveries=self._deliveries
        )
        if key is None:
            return
        failure = TaskFailure(kind="permanent", error=_EXHAUSTED, message=reason)
        result = TaskResult(task=key.task, attempt=key.attempt, role=key.role, agent=self._instance, failure=failure)
        envelope = Envelope.of(result, tenant=key.run.tenant, run=key.run.run, sender=self._instance)
        await self._log.write_once(key.run, self._subjects.result(key), result, envelope)
