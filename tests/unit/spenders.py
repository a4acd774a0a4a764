"""Spenders: many callers of several processes at the edge of two budgets, and deaths at every point on the way."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from stretto.bus.errors import Conflict, TimedOut
from stretto.shared.contracts.account import NANOS, Account, Limits
from stretto.shared.contracts.usage import Usage
from stretto.shared.money.errors import BudgetSpent
from stretto.shared.money.ledger import AccountStore, Ledger
from stretto.shared.money.purse import Budgeted, BudgetPurse

__all__ = ["LIMITS", "Flat", "FlatPrices", "MemoryStore", "Spenders", "Truth"]

LIMIT_S = 60.0
KEPT_S = 6.0
"""Short against the time for which what has lapsed is remembered: that is not reached here."""
LIMITS = {"run": Limits(nanos=40_000, model_calls=60), "day": Limits(nanos=50_000)}
INPUT_TOKENS, OUTPUT_TOKENS = 100, 1_000


class Flat:
    """One nano-dollar a token that is read, two a token that is written."""

    def cost_usd(self, usage: Usage) -> float:
        return (usage.input_tokens + 2 * usage.output_tokens) / NANOS


class FlatPrices:
    def price_of(self, model: str) -> Flat | None:
        return None if model == "unknown" else Flat()


class MemoryStore:
    """Keeps one account, as the bus does."""

    def __init__(self, account: Account) -> None:
        self.account, self.seq = account, 0

    async def load(self) -> tuple[Account, int]:
        await asyncio.sleep(0)
        return self.account, self.seq

    async def store(self, account: Account, *, after: int) -> int:
        await asyncio.sleep(0)
        if after != self.seq:
            raise Conflict("memory")
        self.account, self.seq = account, self.seq + 1
        await asyncio.sleep(0)
        return self.seq


@dataclass
class Truth:
    """What the world outside knows: the provider's bill, and who began to settle it."""

    limits: Limits
    bill: dict[str, int] = field(default_factory=dict)
    settling: set[str] = field(default_factory=set)

    def check(self, account: Account) -> None:
        """Whatever is written agrees with the bill to the nano-dollar, and is never over the limit, calls in flight included."""
        known = {*account.open, *account.lapsed}
        counted = self.settling - known
        assert account.spent.nanos == sum(self.bill[one] for one in counted)
        assert account.spent.model_calls == len(counted)
        for unit in ("nanos", "model_calls"):
            limit = self.limits.of(unit)
            assert limit is None or account.spent.of(unit) + account.reserved.of(unit) <= limit


class _Process:
    """Callers that die together: from the moment of its death it does nothing any more, and is told nothing."""

    def __init__(self, dies_after: int | None) -> None:
        self._left = dies_after
        self.dead = False

    async def point(self) -> None:
        """One more place where it may die."""
        if self._left is not None and not self.dead:
            self._left -= 1
            self.dead = self._left < 0
        if self.dead:
            await asyncio.Event().wait()


class _Mortal:
    """A store as a process that may die reaches it, whose acknowledgements may be lost."""

    def __init__(self, inner: AccountStore, process: _Process, truth: Truth, lost: list[bool]) -> None:
        self._inner = inner
        self._process = process
        self._truth = truth
        self._lost = lost

    async def load(self) -> tuple[Account, int]:
        await self._process.point()
        return await self._inner.load()

    async def store(self, account: Account, *, after: int) -> int:
        await self._process.point()
        seq = await self._inner.store(account, after=after)
        self._truth.check(account)
        await self._process.point()
        if self._lost and self._lost.pop():
            raise TimedOut("the acknowledgement is lost")
        return seq


class Spenders:
    """Callers at the edge.

    Args:
        stores: opens the account of one kind, anew for each process.
        dies_after: for each process how many points it lives; None for ever.
        shares: for each caller, in hundredths, how much of what it may take its call takes.
        lost: which acknowledgements are lost, the last first.
    """

    def __init__(
        self,
        stores: Callable[[str], AccountStore],
        *,
        dies_after: Sequence[int | None],
        shares: Sequence[int],
        lost: Sequence[bool] = (),
    ) -> None:
        self.truths = {kind: Truth(limits) for kind, limits in LIMITS.items()}
        self.now = datetime(2026, 1, 31, tzinfo=UTC)
        self.refused = 0
        self.served = 0
        self._stores = stores
        self._dies_after = dies_after
        self._shares = shares
        self._lost = list(lost)

    async def run(self) -> None:
        """Until everybody who lives has been served or refused."""
        spending: list[asyncio.Task[None]] = []
        alive: list[tuple[_Process, asyncio.Task[None]]] = []
        ledgers: list[tuple[_Process, Ledger]] = []
        each = len(self._shares) // len(self._dies_after)
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
            for number, dies_after in enumerate(self._dies_after):
                process = _Process(dies_after)
                mine = [self._budgeted(kind, process) for kind in LIMITS]
                ledgers += [(process, one.ledger) for one in mine]
                for share in self._shares[number * each : (number + 1) * each]:
                    purse = self._purse(mine)
                    spending.append(group.create_task(self._spend(process, purse, share)))
                    alive.append((process, spending[-1]))
            while any(not task.done() and not process.dead for process, task in alive):
                await self._pass_time(ledgers)
            for task in spending:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*spending)

    async def _pass_time(self, ledgers: Sequence[tuple[_Process, Ledger]]) -> None:
        """Half of what reservations are kept; those of the living are renewed before."""
        await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0.005))])
        for process, ledger in ledgers:
            if not process.dead:
                tending = asyncio.ensure_future(ledger.tend())
                while not tending.done() and not process.dead:
                    await asyncio.wait([tending], timeout=0.01)
                tending.cancel()
        self.now += timedelta(seconds=KEPT_S / 2)

    def _purse(self, mine: Sequence[Budgeted]) -> BudgetPurse:
        return BudgetPurse(accounts=lambda: mine, prices=FlatPrices(), now=lambda: self.now, look_again_s=0.01)

    def _budgeted(self, kind: str, process: _Process) -> Budgeted:
        store = _Mortal(self._stores(kind), process, self.truths[kind], self._lost)
        ledger = Ledger(store=store, limits=LIMITS[kind], now=lambda: self.now, kept_s=KEPT_S)
        return Budgeted("run" if kind == "run" else "day", f"the {kind}'s budget", ledger)

    async def _spend(self, process: _Process, purse: BudgetPurse, share: int) -> None:
        try:
            grant = await purse.for_model("flat", input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS)
        except BudgetSpent:
            self.refused += 1
            return
        await process.point()
        usage = Usage(model_calls=1, input_tokens=INPUT_TOKENS, output_tokens=grant.output_tokens * share // 100)
        cost_usd = Flat().cost_usd(usage)
        await process.point()
        for truth in self.truths.values():
            truth.bill[grant.reservation] = round(cost_usd * NANOS)
            truth.settling.add(grant.reservation)
        await grant.settle(usage.model_copy(update={"cost_usd": cost_usd}))
        await process.point()
        self.served += 1
