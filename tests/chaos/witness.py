"""Witness: a person who is asked whether something happened, and knows it from the ledger."""

import asyncio
from collections.abc import Sequence

from stretto.bus.client import Client
from stretto.shared.questions import AskedQuestion
from stretto.shared.requester import Requester
from tests.chaos.ledger import Ledger

__all__ = ["Witness"]


class Witness:
    """Tells the truth."""

    def __init__(self, client: Client, ledger: Ledger) -> None:
        self._requester = Requester(client=client)
        self._ledger = ledger

    async def settle(self, runs: Sequence[str], *, limit_s: float) -> None:
        """Answer what the runs ask, until they are over."""
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(self._settle(run))

    async def _settle(self, run: str) -> None:
        told: set[str] = set()
        async for _ in self._requester.events(run):
            for asked in await self._requester.questions_of(run):
                if asked.question.id not in told:
                    told.add(asked.question.id)
                    await self._tell(run, asked)

    async def _tell(self, run: str, asked: AskedQuestion) -> None:
        # It is asked about the last call: had one before that happened, there would have been no other.
        happened = any(
            (call.effect.kind, call.effect.run, call.effect.task) == ("unkeyed", run, asked.question.task)
            for call in self._ledger.calls()
        )
        decide = self._requester.approve if happened else self._requester.reject
        await decide(asked.question.id, run=run)
