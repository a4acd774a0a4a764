"""Load: requests, each written into the ledger before it is sent and when it was acknowledged."""

import asyncio
from collections.abc import Sequence

from pydantic import JsonValue

from stretto.bus.client import Client
from stretto.bus.connection import Connection
from stretto.bus.errors import Busy, StreamMissing, TimedOut, Unreachable
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.request import Request
from tests.chaos.agents import How, made_of
from tests.chaos.ledger import Ledger
from tests.chaos.system import System

__all__ = ["TIGHT", "Load"]

_AGAIN_S = 0.2
_AMPLE = Budget(usd=1.0)
"""More than any run takes, so that every row goes through the ledgers of budgets."""
TIGHT = Budget(usd=0.003)
"""Enough for all calls of a run, but not for two in flight."""


class Load:
    """One requester of a system. `name` goes into the ids of its runs."""

    def __init__(self, system: System, connection: Connection, name: str) -> None:
        self._client = Client(connection=connection, deployment=system.deployment)
        self._ledger: Ledger = system.ledger
        self._name = name
        self._number = 0

    @property
    def client(self) -> Client:
        return self._client

    async def submit(
        self,
        how: How | None = None,
        *,
        playbook: str = "chaos",
        ends: str | None = "completed",
        text: str | None = None,
        ballast: str = "",
        run: str | None = None,
        deadline_s: float | None = None,
        budget: Budget = _AMPLE,
    ) -> str:
        """Submit a request, as often as it takes until it is acknowledged; return the run."""
        self._number += 1
        run = run or f"{self._name}-{self._number}"
        says = made_of(run) if playbook == "chaos" and text is None else text
        self._ledger.submit(run, ends=ends, text=says)
        request = self.request(run, how, playbook=playbook, ballast=ballast, budget=budget).model_copy(
            update={"deadline_s": deadline_s}
        )
        while True:
            try:
                await self._client.submit(request, run=run)
            except (Busy, StreamMissing, TimedOut, Unreachable):
                await asyncio.sleep(_AGAIN_S)
            else:
                self._ledger.acknowledge(run)
                return run

    @staticmethod
    def request(
        run: str, how: How | None = None, *, playbook: str = "chaos", ballast: str = "", budget: Budget = _AMPLE
    ) -> Request:
        """What a run of ours asks for; nobody reads the ballast."""
        params: dict[str, JsonValue] = {"how": (how or How()).model_dump(), "ballast": ballast}
        return Request(text=run, playbook=playbook, params=params, budget=budget)

    async def submit_many(self, count: int, how: How | None = None, *, budget: Budget = _AMPLE) -> list[str]:
        """Submit so many at once."""
        return list(await asyncio.gather(*(self.submit(how, budget=budget) for _ in range(count))))

    async def keep_on(self, every_s: float, how: How | None = None) -> None:
        """Submit one after the other until cancelled."""
        while True:
            await self.submit(how)
            await asyncio.sleep(every_s)

    async def answered(self, runs: Sequence[str], *, limit_s: float) -> None:
        """Wait until each of them has an answer."""
        async with asyncio.timeout(limit_s):
            for run in runs:
                await self._client.result(run)
