"""Books: the ledgers that one process writes, and the purses that draw on them."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from stretto.bus.connection import Connection
from stretto.bus.errors import BusError
from stretto.bus.streams import Deployment
from stretto.bus.subjects import TaskKey
from stretto.bus.wire import Wire
from stretto.shared.contracts.account import AccountKind, Limits
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.task import RunTask
from stretto.shared.money.errors import LedgerUnreadable
from stretto.shared.money.ledger import Ledger
from stretto.shared.money.ledger_log import LEDGERS, LedgerLog
from stretto.shared.money.price import Prices
from stretto.shared.money.purse import Budgeted, BudgetPurse, nanos_of
from stretto.shared.money.server_time import ServerTime
from stretto.shared.money.tenant_budget import TenantBudget

__all__ = ["Books", "limits_of"]

_log = logging.getLogger(__name__)
_DEFAULT: Final = "default"
_LAST_WRITES_S: Final = 2.0
_NONE: Final = Limits()


class Books:
    """One writer for each account that the process spends from, however many attempts do.

    For use in an `async with`: until its end, what is reserved for calls in flight is renewed, and lapses soon after the process died.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        deployment: Deployment,
        wire: Wire,
        sender: str,
        prices: Prices,
        tenant_budgets: Mapping[str, TenantBudget] | None = None,
    ) -> None:
        self._connection = connection
        self._subjects = deployment.subjects
        self._wire = wire
        self._sender = sender
        self._prices = prices
        self._tenant_budgets = dict(tenant_budgets or {})
        self._kept_s = 2 * deployment.task_lease_s
        self._time = ServerTime(connection=connection, stream=self._subjects.stream(LEDGERS))
        self._ledgers: dict[str, Ledger] = {}
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        group = await self._closing.enter_async_context(asyncio.TaskGroup())
        self._closing.callback(group.create_task(self._tend()).cancel)
        return self

    async def __aexit__(self, *error: Any) -> None:
        try:
            async with asyncio.timeout(_LAST_WRITES_S):
                await self._write()
        except TimeoutError:
            _log.warning("the bus is away: what calls took that were cut off is not counted")
        finally:
            await self._closing.__aexit__(*error)

    def purse_of(self, key: TaskKey, task: RunTask) -> BudgetPurse | None:
        """What the attempt may spend; None where nothing is limited that it could spend."""
        tenant, run = key.run.tenant, key.run.run
        of_run = limits_of(task.budget)
        of_tenant = self._tenant_budgets.get(tenant) or self._tenant_budgets.get(_DEFAULT) or TenantBudget()
        of_day, of_month = (limits_of(Budget(**of_tenant.per(period))) for period in ("day", "month"))
        if _NONE == of_run == of_day == of_month:
            return None

        def accounts() -> Sequence[Budgeted]:
            now = self._time.now()
            day, month = f"{now:%Y-%m-%d}", f"{now:%Y-%m}"
            every: tuple[tuple[AccountKind, str, Limits, str], ...] = (
                ("run", run, of_run, "the run's budget"),
                ("day", day, of_day, f"tenant {tenant}'s budget for {day} (UTC)"),
                ("month", month, of_month, f"tenant {tenant}'s budget for {month} (UTC)"),
            )
            return [
                Budgeted(kind, whose, self._ledger(tenant, kind, name, limits))
                for kind, name, limits, whose in every
                if limits != _NONE
            ]

        return BudgetPurse(accounts=accounts, prices=self._prices, now=self._time.now)

    def _ledger(self, tenant: str, account: AccountKind, name: str, limits: Limits) -> Ledger:
        subject = self._subjects.ledger(tenant, account, name)
        ledger = self._ledgers.get(subject)
        if ledger is None or ledger.limits != limits:
            log = LedgerLog(
                connection=self._connection,
                subjects=self._subjects,
                wire=self._wire,
                tenant=tenant,
                account=account,
                name=name,
                sender=self._sender,
                time=self._time,
            )
            ledger = Ledger(store=log, limits=limits, now=self._time.now, kept_s=self._kept_s)
            self._ledgers[subject] = ledger
        return ledger

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(self._kept_s / 3)
            await self._write()
            self._ledgers = {subject: one for subject, one in self._ledgers.items() if not one.is_idle}

    async def _write(self) -> None:
        await asyncio.gather(*(self._write_one(one) for one in list(self._ledgers.values())))

    async def _write_one(self, ledger: Ledger) -> None:
        try:
            await ledger.tend()
        except (BusError, LedgerUnreadable) as error:
            _log.warning("what is reserved for calls in flight could not be renewed: %s", error)


def limits_of(budget: Budget | None) -> Limits:
    """What a budget limits of calls, in the ledger's units."""
    if budget is None:
        return _NONE
    return Limits(
        nanos=None if budget.usd is None else nanos_of(budget.usd),
        tokens=budget.tokens,
        model_calls=budget.model_calls,
        tool_calls=budget.tool_calls,
    )
