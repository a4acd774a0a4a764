"""Task queue: what is due for a role. A cache of the runs' logs: losing it loses nothing."""

import asyncio
import contextlib

from opentelemetry.util.types import AttributeValue

from stretto.bus.connection import Connection
from stretto.bus.conventions import ATTEMPT, ROLE, TASK
from stretto.bus.envelope import Envelope
from stretto.bus.errors import BusError, Busy, Conflict, DecodeError
from stretto.bus.hops import Sending
from stretto.bus.jetstream import Stored
from stretto.bus.provisioning import provision
from stretto.bus.streams import Deployment, task_stream
from stretto.bus.subjects import TaskKey
from stretto.bus.task_consumer import TaskConsumer
from stretto.bus.wire import Wire

__all__ = ["TaskQueue"]

_STREAM_NOT_FOUND = 10059
_AT_ONCE = 64
_TRIES = 3


class TaskQueue:
    """The task queues of one deployment."""

    def __init__(self, *, connection: Connection, deployment: Deployment, wire: Wire) -> None:
        self._connection = connection
        self._deployment = deployment
        self._wire = wire
        self._provisioned: set[str] = set()

    async def provision(self, role: str) -> None:
        """See that the role has its queue. For supervisors: agents have no right to create streams."""
        if role not in self._provisioned:
            await provision(self._connection, task_stream(self._deployment, role))
            self._provisioned.add(role)

    async def mend(self) -> None:
        """To be called when another server process answers: what it lost of the queues must not be in the way.

        A queue that skips fsync may have lost its last messages, while the server still knows that it delivered them. It gives their
        sequences out anew, and takes what is stored there for delivered: it would lie until a lease runs out that nobody holds. So these
        sequences are used up here. It may also have lost that acknowledged messages were removed: they are there again, and nobody would
        ever get them. So they are removed here; what is due must be queued again behind this.
        """
        for role in sorted(self._provisioned):
            await self._remove_acknowledged(role)
            lost = await self._lost(role)
            fillers = [self._deployment.subjects.filler(role, number) for number in range(lost)]
            for first in range(0, lost, _AT_ONCE):
                some = fillers[first : first + _AT_ONCE]
                await asyncio.gather(*(self._connection.jetstream.store(filler, b"") for filler in some))
            if lost:
                subjects = self._deployment.subjects
                await self.remove(subjects.tasks_stream(role), subjects.fillers_of(role))

    async def _remove_acknowledged(self, role: str) -> None:
        """Remove what stands below the point up to which each consumer has acknowledged everything."""
        spec = task_stream(self._deployment, role)
        for consumer in spec.consumers:
            info = await self._connection.jetstream.api(f"CONSUMER.INFO.{spec.name}.{consumer.name}")
            floor = int(info.get("ack_floor", {}).get("stream_seq", 0))
            if floor:
                await self.remove(spec.name, consumer.config["filter_subject"], up_to_seq=floor)

    async def _lost(self, role: str) -> int:
        """How many sequences were delivered that the role's stream will give out once more."""
        spec = task_stream(self._deployment, role)
        found = await self._connection.jetstream.api(f"STREAM.INFO.{spec.name}")
        delivered = 0
        for consumer in spec.consumers:
            info = await self._connection.jetstream.api(f"CONSUMER.INFO.{spec.name}.{consumer.name}")
            delivered = max(delivered, int(info.get("delivered", {}).get("stream_seq", 0)))
        return max(0, delivered - int(found["state"]["last_seq"])) if "state" in found else 0

    async def put(self, key: TaskKey, envelope: Envelope, *, resumption: int = 0) -> None:
        """Queue one attempt, unless it is queued or in work already; `resumption` counts how often it went on after waiting.

        Raises:
            Busy: the role's queue is full, or has something else in this place, which an agent will give up when it comes to it.
        """
        await self.provision(key.role)
        subject, packed = self._deployment.subjects.task(key, resumption), await self._wire.pack(envelope)
        template = self._deployment.subjects.task_template()
        of_task: dict[str, AttributeValue] = {ROLE: key.role, TASK: key.task, ATTEMPT: key.attempt}
        for _ in range(_TRIES):
            with (
                contextlib.suppress(Conflict),
                Sending(
                    template, tenant=key.run.tenant, run=key.run.run, message_id=envelope.id, attributes=of_task
                ) as sending,
            ):
                await self._connection.jetstream.store(subject, packed, expect=0, headers=sending.headers)
                return
            there = await self._connection.jetstream.last(self._deployment.subjects.tasks_stream(key.role), subject)
            # What is gone by now may have been something else. If it was the task, once more does no harm: who gets it looks what is done.
            if there is None:
                continue
            if await self._is_alike(there, envelope):
                return  # that is what was wanted
            break
        raise Busy(f"{subject} has another message just now")

    async def _is_alike(self, there: Stored, wanted: Envelope) -> bool:
        """Whether it holds the same kind of message about the same run."""
        try:
            found = await self._wire.unpack(there.data, there.headers)
        except DecodeError:
            return False
        said = [(each.type, each.version.partition(".")[0], each.tenant, each.run) for each in (found, wanted)]
        return said[0] == said[1]

    async def remove(self, stream: str, pattern: str, *, up_to_seq: int | None = None) -> None:
        """Take everything on subjects that match `pattern` out of a queue's stream, in work or not, or only up to a sequence (included).
        No such stream: nothing to do.

        Raises:
            BusError: the server refuses.
        """
        below = {} if up_to_seq is None else {"seq": up_to_seq + 1}
        reply = await self._connection.jetstream.api(f"STREAM.PURGE.{stream}", {"filter": pattern, **below})
        error = reply.get("error")
        if error is not None and error.get("err_code") != _STREAM_NOT_FOUND:
            raise BusError(f"{stream} cannot be emptied: {error.get('description')} ({error.get('err_code')})")

    async def suspect(self, stream: str, task: Stored) -> None:
        """Queue a task once more as a suspect, and take it from its place among the others. Doing so twice changes nothing.

        Raises:
            Busy: the role's queue is full.
        """
        headers = {name: value for name, value in task.headers.items() if not name.startswith("Nats-")}
        with contextlib.suppress(Conflict):
            await self._connection.jetstream.store(
                self._deployment.subjects.suspect(task.subject), task.data, expect=0, headers=headers
            )
        await self.remove(stream, task.subject)

    def consumer(self, role: str, *, slots: int) -> TaskConsumer:
        """The loop that pulls this role's tasks, renewing the lease of those in work."""
        return TaskConsumer(connection=self._connection, deployment=self._deployment, role=role, slots=slots)
