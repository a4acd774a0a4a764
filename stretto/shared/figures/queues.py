"""Queues: reads how many tasks of each role wait, and for how long."""

import asyncio
from datetime import datetime
from typing import Any

from stretto.bus.connection import Connection
from stretto.bus.errors import StreamMissing
from stretto.bus.streams import Deployment, agents_consumer, suspects_consumer
from stretto.shared.figures.figures import Queue

__all__ = ["Queues"]


class Queues:
    """The task queues of a deployment: two small questions to the server for each role."""

    def __init__(self, *, connection: Connection, deployment: Deployment) -> None:
        self._jetstream = connection.jetstream
        self._deployment = deployment
        self._subjects = deployment.subjects

    async def read(self) -> dict[str, Queue]:
        """The queue of each role that has one, also of those that nobody serves any more.

        Raises:
            TimedOut, Unreachable, NotPermitted: as they say.
        """
        roles = await self._roles()
        queues = await asyncio.gather(*(self._queue(role) for role in roles))
        return {role: queue for role, queue in zip(roles, queues, strict=True) if queue is not None}

    async def _roles(self) -> list[str]:
        head = self._subjects.stream("TASKS_")
        found: list[str] = []
        while True:
            asked = {"subject": f"{self._subjects.prefix}.task.>", "offset": len(found)}
            page = await self._jetstream.api("STREAM.NAMES", asked)
            names: list[str] = page.get("streams") or []
            found += names
            if not names or len(found) >= int(page.get("total", 0)):
                return sorted(name.removeprefix(head) for name in found if name.startswith(head))

    async def _queue(self, role: str) -> Queue | None:
        """None where the queue is not there, or is just being made."""
        stream = self._subjects.tasks_stream(role)
        found = await self._jetstream.api(f"CONSUMER.LIST.{stream}")
        consumers: dict[str, Any] = {one["name"]: one for one in found.get("consumers") or ()}
        agents = consumers.get(agents_consumer(self._deployment))
        suspects = consumers.get(suspects_consumer(self._deployment))
        if agents is None or suspects is None:
            return None
        waiting = int(agents["num_pending"])
        return Queue(
            waiting=waiting,
            in_work=int(agents["num_ack_pending"]),
            suspects=int(suspects["num_pending"]) + int(suspects["num_ack_pending"]),
            oldest_s=await self._oldest_s(role, agents) if waiting else 0.0,
        )

    async def _oldest_s(self, role: str, agents: Any) -> float:
        # They are delivered in the order in which they were queued: so the oldest that waits lies behind the last one delivered.
        after = int(agents["delivered"]["stream_seq"])
        try:
            oldest = await self._jetstream.peek(
                self._subjects.tasks_stream(role), self._subjects.tasks_of(role), from_seq=after + 1
            )
        except StreamMissing:  # gone in this moment
            return 0.0
        return max(0.0, (datetime.fromisoformat(agents["ts"]) - oldest.at).total_seconds()) if oldest else 0.0
