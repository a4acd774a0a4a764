"""Task consumer: pulls the tasks of one role: as many as an agent has slots, and beside them one suspect at a time."""

import asyncio
from dataclasses import replace

from stretto.bus.connection import Connection
from stretto.bus.consume import Consumer, ConsumerOptions, Handler
from stretto.bus.delivery import Delivery, Disposition
from stretto.bus.streams import Deployment, agents_consumer, suspects_consumer

__all__ = ["TaskConsumer"]


class TaskConsumer:
    """As a `Consumer`. Suspects come to the handler on the subject that they were queued on first."""

    def __init__(self, *, connection: Connection, deployment: Deployment, role: str, slots: int) -> None:
        self._subjects = deployment.subjects
        stream, renew_s = deployment.subjects.tasks_stream(role), deployment.task_lease_s / 3
        self._tasks = Consumer(
            connection=connection,
            options=ConsumerOptions(stream, agents_consumer(deployment), slots, renew_s),
        )
        self._suspects = Consumer(
            connection=connection,
            options=ConsumerOptions(stream, suspects_consumer(deployment), 1, renew_s),
        )

    @property
    def busy(self) -> int:
        """Messages in hand."""
        return self._tasks.busy + self._suspects.busy

    def stop(self) -> None:
        """Take in no more; work in hand goes on."""
        self._tasks.stop()
        self._suspects.stop()

    async def run(self, handler: Handler) -> None:
        """Handle messages until `stop`."""

        async def handle_suspect(delivery: Delivery) -> Disposition:
            return await handler(replace(delivery, subject=self._subjects.suspected(delivery.subject)))

        async with asyncio.TaskGroup() as group:
            group.create_task(self._tasks.run(handler))
            group.create_task(self._suspects.run(handle_suspect))
