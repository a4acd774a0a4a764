"""Withdrawal: takes back what is still out for a run that is over."""

from collections.abc import Collection

from stretto.bus.codec import encode
from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey
from stretto.bus.task_queue import TaskQueue
from stretto.bus.wire import Wire
from stretto.shared.contracts.withdrawal import Withdrawn
from stretto.supervisor.decide import Outstanding

__all__ = ["Withdrawal"]


class Withdrawal:
    """Stops the agents that are at work for a run, and empties its place in their queues. Doing so again changes nothing."""

    def __init__(self, *, connection: Connection, deployment: Deployment, wire: Wire, instance: str) -> None:
        self._connection = connection
        self._subjects = deployment.subjects
        self._queue = TaskQueue(connection=connection, deployment=deployment, wire=wire)
        self._instance = instance

    async def withdraw(self, key: RunKey, outstanding: Collection[Outstanding]) -> None:
        """Withdraw the run's work from the roles that have some. First from the queues, so that an agent that stops one task gets no other.

        Raises:
            RetryLater: the bus does not answer.
        """
        roles = sorted({one.role for one in outstanding})
        for role in roles:
            await self._queue.remove(self._subjects.tasks_stream(role), self._subjects.tasks_of_run(key, role))
        withdrawn = encode(Envelope.of(Withdrawn(), tenant=key.tenant, run=key.run, sender=self._instance))
        for role in roles:
            await self._connection.publish(self._subjects.withdraw(role), withdrawn)
