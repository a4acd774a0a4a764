"""Runs: reads how many runs are not over, and how many of them somebody looks after."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from stretto.bus.agent_card import SUPERVISOR_ROLE, AgentCard
from stretto.bus.connection import Connection
from stretto.bus.errors import StreamMissing
from stretto.bus.registry import BEAT_S
from stretto.bus.streams import SUPERVISORS, Deployment
from stretto.shared.figures.figures import RunFigures
from stretto.shared.figures.paced import Paced

__all__ = ["Runs"]

_APART_S: Final = 2 * BEAT_S + 1.0


class Runs:
    """The open runs of a deployment: one small question to the server for each shard; now and then the runs are counted."""

    def __init__(self, *, connection: Connection, deployment: Deployment) -> None:
        self._jetstream = connection.jetstream
        self._deployment = deployment
        self._subjects = deployment.subjects
        self._open = Paced(self._count)
        self._apart: list[tuple[float, int]] = []

    async def read(self, cards: Iterable[AgentCard]) -> tuple[datetime, RunFigures]:
        """The runs, as far as the supervisors among `cards` have them; and the time by the server's clock.

        Raises:
            StreamMissing: there is no deployment of this prefix.
            TimedOut, Unreachable, NotPermitted: as they say.
        """
        supervisors = [card for card in cards if card.role == SUPERVISOR_ROLE]
        in_flight = sum(card.busy for card in supervisors)
        infos = await asyncio.gather(*(self._consumer(shard) for shard in range(self._deployment.shards)))
        backlog = sum(int(info["num_pending"]) for info in infos)
        open_runs = await self._open.get()
        return max(datetime.fromisoformat(info["ts"]) for info in infos), RunFigures(
            open=open_runs,
            in_flight=in_flight,
            backlog=backlog,
            parked=self._parked(open_runs - in_flight - backlog) if supervisors else None,
        )

    def _parked(self, apart: int) -> int:
        """What was counted and what supervisors told are of moments some seconds apart: a run that ended between them is not parked, and
        one that is parked stays so. So it is the least of what was left lately.
        """
        now = asyncio.get_running_loop().time()
        self._apart = [(at, one) for at, one in self._apart if now - at < _APART_S] + [(now, apart)]
        return max(0, min(one for _, one in self._apart))

    async def _consumer(self, shard: int) -> Any:
        stream = self._subjects.runs_stream(shard)
        info = await self._jetstream.api(f"CONSUMER.INFO.{stream}.{SUPERVISORS}")
        if "error" in info:
            raise StreamMissing(f"there is no stream {stream}: is a supervisor running for this prefix?")
        return info

    async def _count(self) -> int:
        """How many runs there are whose request is stored, and no answer."""
        kinds = [(shard, kind) for kind in ("answer", "request.*") for shard in range(self._deployment.shards)]
        counted = await asyncio.gather(*(self._messages(shard, kind) for shard, kind in kinds))
        answers, requests = counted[: self._deployment.shards], counted[self._deployment.shards :]
        return sum(max(0, asked - over) for over, asked in zip(answers, requests, strict=True))

    async def _messages(self, shard: int, kind: str) -> int:
        pattern = f"{self._subjects.prefix}.run.{shard}.*.*.{kind}"
        first = await self._jetstream.peek(self._subjects.runs_stream(shard), pattern)
        return 1 + first.more if first else 0
