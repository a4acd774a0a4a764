"""Reporter: tells whoever watches a run what an agent does for it. Progress is never stored, and never worth a task."""

import contextlib
from typing import Literal

from stretto.bus.codec import encode
from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope
from stretto.bus.errors import BusError
from stretto.bus.subjects import Subjects, TaskKey
from stretto.shared.contracts.progress import Progress

__all__ = ["Reporter"]


class Reporter:
    """Speaks for one process of one role."""

    def __init__(self, *, connection: Connection, subjects: Subjects, instance: str) -> None:
        self._connection = connection
        self._subjects = subjects
        self._instance = instance

    async def tell(self, key: TaskKey, kind: Literal["started", "note", "text"], text: str, *, reply: int = 0) -> None:
        """Say it to whoever watches, if anybody does. With `text`, of a reply, nobody waits: where the send buffer is full it is lost."""
        progress = Progress(
            kind=kind, role=key.role, task=key.task, attempt=key.attempt, agent=self._instance, text=text, reply=reply
        )
        envelope = Envelope.of(progress, tenant=key.run.tenant, run=key.run.run, sender=self._instance)
        limit_s = 0.0 if kind == "text" else None
        with contextlib.suppress(BusError):
            subject = self._subjects.progress(key.run, key.role)
            await self._connection.publish(subject, encode(envelope), limit_s=limit_s)
