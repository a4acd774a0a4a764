"""Task queue: what is due for a role. A cache of the runs' logs: losing it loses nothing."""

from stretto.bus.connection import Connection
from stretto.bus.consume import Consumer, ConsumerOptions
from stretto.bus.envelope import Envelope
from stretto.bus.errors import BusError, Conflict
from stretto.bus.streams import Deployment, agents_consumer, provision, task_stream
from stretto.bus.subjects import TaskKey
from stretto.bus.wire import Wire

__all__ = ["TaskQueue"]

_STREAM_NOT_FOUND = 10059


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

    async def put(self, key: TaskKey, envelope: Envelope, *, resumption: int = 0) -> None:
        """Queue one attempt, unless it is queued or in work already; `resumption` counts how often it went on after waiting.

        Raises:
            Busy: the role's queue is full.
        """
        await self.provision(key.role)
        try:
            await self._connection.jetstream.store(
                self._deployment.subjects.task(key, resumption),
                await self._wire.pack(envelope),
                expect=0,
            )
        except Conflict:
            return  # it is there: that is what was wanted

    async def remove(self, stream: str, pattern: str) -> None:
        """Take everything on subjects that match `pattern` out of a queue's stream, in work or not. No such stream: nothing to do.

        Raises:
            BusError: the server refuses.
        """
        reply = await self._connection.jetstream.api(f"STREAM.PURGE.{stream}", {"filter": pattern})
        error = reply.get("error")
        if error is not None and error.get("err_code") != _STREAM_NOT_FOUND:
            raise BusError(f"{stream} cannot be emptied: {error.get('description')} ({error.get('err_code')})")

    def consumer(self, role: str, *, slots: int) -> Consumer:
        """The loop that pulls this role's tasks, renewing the lease of those in work."""
        return Consumer(
            connection=self._connection,
            options=ConsumerOptions(
                stream=self._deployment.subjects.tasks_stream(role),
                consumer=agents_consumer(self._deployment),
                slots=slots,
                renew_s=self._deployment.task_lease_s / 3,
            ),
        )
