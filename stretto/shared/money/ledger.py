"""Ledger: one process's hand on one account. What waits to be written goes out together, in one conditional write."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from stretto.bus.errors import Conflict
from stretto.bus.journal import keep_trying
from stretto.shared.contracts.account import Account, Amounts, Limits
from stretto.shared.money.account import (
    Ask,
    Granted,
    Shortage,
    lapse,
    raise_limits,
    renew,
    reserve,
    settle,
)

__all__ = ["AccountStore", "Ledger"]

_Outcome = Granted | Shortage | None


class AccountStore(Protocol):
    """Where one account is written."""

    async def load(self) -> tuple[Account, int]:
        """The account as it stands, and the sequence of the message that says so: 0 where there is none yet.

        Raises:
            LedgerUnreadable: there is one, and it is no account.
        """
        ...

    async def store(self, account: Account, *, after: int) -> int:
        """Write the account if `after` is still the last sequence; return its own.

        Raises:
            Conflict: it is not. What was sent twice may be one's own.
        """
        ...


@dataclass(slots=True, eq=False)
class _Change:
    """One change that is to be made to the account, with what came of it."""

    make: Callable[[Account, datetime], tuple[Account, _Outcome]]
    done: bool = False
    outcome: _Outcome = None


class Ledger:
    """Reserves and settles for all who share this process and this account.

    Whoever comes first writes for everybody who waits then; the others come while that is under way, and the next of them writes for all.
    While the bus is away a change is tried until the caller gives up.

    Args:
        limits: of the budget; what the account says of them is corrected.
        now: the server's time.
        kept_s: what is reserved lapses after this, unless `tend` renews it.
    """

    def __init__(
        self, *, store: AccountStore, limits: Limits, now: Callable[[], datetime], kept_s: float = 60.0
    ) -> None:
        self._store = store
        self._limits = limits
        self._now = now
        self._kept = timedelta(seconds=kept_s)
        self._lock = asyncio.Lock()
        self._waiting: list[_Change] = []
        self._known: tuple[Account, int] | None = None
        self._in_flight: set[str] = set()
        self._news = asyncio.Event()

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing in flight and nothing to write."""
        return not self._in_flight and not self._waiting

    async def reserve(self, reservation: str, ask: Ask) -> Granted | Shortage:
        """As `account.reserve`. Cancelled, it is given back."""
        try:
            outcome = await self._commit(
                lambda account, now: reserve(account, reservation, ask, until=now + self._kept)
            )
        except BaseException:
            self.give_back(reservation)
            raise
        assert outcome is not None  # noqa: S101 (of a reservation something comes)
        if isinstance(outcome, Granted):
            self._in_flight.add(reservation)
        return outcome

    def give_back(self, reservation: str) -> None:
        """Nothing was taken: the reservation, where there is one, goes with the next write."""
        self._in_flight.discard(reservation)
        self._waiting.append(_Change(lambda account, _: (settle(account, reservation, Amounts()), None)))

    async def settle(self, reservation: str, took: Amounts) -> None:
        """As `account.settle`. It is counted even if the caller does not wait for it, with the next write."""
        self._in_flight.discard(reservation)
        await self._commit(lambda account, _: (settle(account, reservation, took), None))

    async def raise_limits(self, reason: str, by: Amounts) -> None:
        """As `account.raise_limits`."""
        await self._commit(lambda account, _: (raise_limits(account, reason, by), None))

    async def tend(self) -> None:
        """Renew what is in flight, and write what nobody waits for. To be called well within `kept_s`."""
        if not self.is_idle:
            kept = tuple(self._in_flight)
            await self._commit(lambda account, now: (renew(account, kept, until=now + self._kept), None))

    async def changed(self, *, within_s: float) -> None:
        """Wait until this process has written the account anew, or for so long: others may have."""
        try:
            async with asyncio.timeout(within_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def _commit(self, make: Callable[[Account, datetime], tuple[Account, _Outcome]]) -> _Outcome:
        change = _Change(make)
        self._waiting.append(change)
        async with self._lock:
            if not change.done:
                await keep_trying(self._write)
        return change.outcome

    async def _write(self) -> None:
        """Make all changes that wait, in their order, in one write; again on what others have written meanwhile."""
        known, fresh = self._known, False
        while True:
            if known is None:
                known, fresh = await self._store.load(), True
            before, seq = known
            changes = tuple(self._waiting)
            now = self._now()
            account = lapse(before, now=now)
            if account.limits != self._limits:
                account = account.model_copy(update={"limits": self._limits})
            for change in changes:
                account, change.outcome = change.make(account, now)
            if not fresh and any(isinstance(change.outcome, Shortage) for change in changes):
                known = None  # others may have given something back
                continue
            if account is not before:
                try:
                    seq = await self._store.store(account, after=seq)
                except Conflict:
                    known = None
                    continue
                self._news.set()
                self._news = asyncio.Event()
            self._known = account, seq
            for change in changes:
                change.done = True
            self._waiting = [change for change in self._waiting if not change.done]
            return
