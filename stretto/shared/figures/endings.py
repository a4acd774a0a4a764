"""Endings: follows the answers of a deployment's runs, and adds up what came of them lately."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from stretto.bus.connection import Connection
from stretto.bus.envelope import open_envelope
from stretto.bus.errors import DecodeError
from stretto.bus.jetstream import Stored
from stretto.bus.streams import Deployment
from stretto.bus.tenant_logs import TenantLogs
from stretto.bus.wire import Wire
from stretto.shared.contracts.answer import Answer, RunEnd
from stretto.shared.contracts.usage import Usage
from stretto.shared.figures.figures import Lately

__all__ = ["Endings"]

_MOST: Final = 1_000
_PARTS: Final = 30
"""In so many parts of the window answers are added up; those of a part are forgotten together."""


@dataclass(slots=True)
class _Part:
    ended: Counter[RunEnd] = field(default_factory=Counter[RunEnd])
    failed_tasks: int = 0
    retries: int = 0
    usage: Usage = field(default_factory=Usage)

    def add(self, answer: Answer) -> None:
        self.ended[answer.state] += 1
        self.failed_tasks += sum(task.state == "failed" for task in answer.tasks)
        self.retries += sum(max(0, task.attempts - 1) for task in answer.tasks)
        self.usage += answer.usage


class Endings:
    """The answers of all tenants' runs within the last `window_s` seconds.

    The first reading goes back that far, or less where more than some thousand runs have ended in that time; each later one takes what
    is new: one small question for each shard, where nothing is.
    """

    def __init__(self, *, connection: Connection, deployment: Deployment, wire: Wire, window_s: float) -> None:
        self._jetstream = connection.jetstream
        self._subjects = deployment.subjects
        self._logs = TenantLogs(connection=connection, deployment=deployment, wire=wire, tenant="*")
        self._window = timedelta(seconds=window_s)
        self._begin: datetime | None = None
        self._next: dict[int, int] = {}
        self._parts: dict[int, _Part] = {}

    async def read(self, now: datetime) -> Lately:
        """What ended within the window before `now`, which is the server's time.

        Raises:
            StreamMissing: there is no deployment of this prefix.
            TimedOut, Unreachable, NotPermitted: as they say.
        """
        if self._begin is None:
            self._begin = await self._beginning(now)
        for messages in await asyncio.gather(*(self._new(shard, self._begin) for shard in self._logs.shards)):
            await self._add(messages)
        since = max(self._begin, now - self._window)
        self._parts = {number: part for number, part in self._parts.items() if number >= self._part(since)}
        whole = _Part()
        for part in self._parts.values():
            whole.ended += part.ended
            whole.failed_tasks += part.failed_tasks
            whole.retries += part.retries
            whole.usage += part.usage
        return Lately(since, dict(whole.ended), whole.failed_tasks, whole.retries, whole.usage)

    async def _beginning(self, now: datetime) -> datetime:
        back = self._window
        while True:
            found = await asyncio.gather(*(self._peek(shard, now - back) for shard in self._logs.shards))
            if sum(1 + first.more for first in found if first) <= _MOST or back <= self._window / _PARTS:
                return now - back
            back /= 2

    async def _peek(self, shard: int, since: datetime) -> Stored | None:
        return await self._jetstream.peek(self._subjects.runs_stream(shard), self._answers(shard), since=since)

    async def _new(self, shard: int, begin: datetime) -> list[Stored]:
        if shard not in self._next:
            first = await self._peek(shard, begin)
            if first is None:
                return []
            self._next[shard] = first.seq
        stream = self._subjects.runs_stream(shard)
        found = await self._jetstream.read(stream, self._answers(shard), from_seq=self._next[shard])
        if found:
            self._next[shard] = found[-1].seq + 1
        return found

    async def _add(self, messages: list[Stored]) -> None:
        for one in await self._logs.opened(messages):
            try:
                answer = open_envelope(one.envelope, Answer)
            except DecodeError:  # junk counts for nothing
                continue
            self._parts.setdefault(self._part(one.at), _Part()).add(answer)

    def _answers(self, shard: int) -> str:
        return f"{self._subjects.prefix}.run.{shard}.*.*.answer"

    def _part(self, at: datetime) -> int:
        return int(at.timestamp() / (self._window.total_seconds() / _PARTS))
