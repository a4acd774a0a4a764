"""Budget view: a run's budget, and what is spent and reserved of it."""

from collections.abc import Iterator
from typing import Any

from stretto.bus.artifacts import Artifacts
from stretto.bus.connection import Connection
from stretto.bus.wire import Wire
from stretto.shared.contracts.account import UNITS, Account
from stretto.shared.contracts.budget import Budget
from stretto.shared.money.ledger_log import LedgerLog
from stretto.shared.money.wording import amount_text
from stretto.shared.settings import Settings

__all__ = ["account_of", "budget_data", "budget_text"]


async def account_of(connection: Connection, settings: Settings, run: str) -> Account | None:
    """What is written of the run's budget; None where nothing is.

    Raises:
        LedgerUnreadable: it cannot be read.
    """
    subjects = settings.deployment.subjects
    log = LedgerLog(
        connection=connection,
        subjects=subjects,
        wire=Wire(artifacts=Artifacts(connection=connection, subjects=subjects)),
        tenant=settings.tenant,
        account="run",
        name=run,
        sender="cli",
    )
    account, seq = await log.load()
    return account if seq else None


def budget_text(budget: Budget, account: Account | None) -> str:
    """One line: `budget: 0.0312 USD of 0.50 USD spent, 0.01 USD reserved; at most 5 tasks`."""
    parts = list(_used(account)) if account else [_allowed(budget)]
    if budget.tasks is not None:
        parts.append(f"at most {budget.tasks} tasks")
    if budget.seconds is not None:
        parts.append(f"at most {budget.seconds:g} s")
    parts.append(f"when it is used up: {budget.at_edge or 'fail'}")
    return f"budget: {'; '.join(part for part in parts if part)}"


def budget_data(budget: Budget, account: Account | None) -> dict[str, Any]:
    """The same as data; amounts of money in billionths of a US dollar (`nanos`)."""
    used = account or Account(account="run", name="none")
    return {
        **budget.model_dump(mode="json"),
        "limits": {unit: used.limit(unit) for unit in UNITS} if account else None,
        "spent": used.spent.model_dump(),
        "reserved": used.reserved.model_dump(),
        "calls_in_flight": len(used.open),
        "raises": {reason: by.model_dump() for reason, by in used.raises.items()},
    }


def _used(account: Account) -> Iterator[str]:
    reserved = account.reserved
    for unit in UNITS:
        limit = account.limit(unit)
        if limit is not None:
            held = f", {amount_text(unit, reserved.of(unit))} reserved" if reserved.of(unit) else ""
            yield f"{amount_text(unit, account.spent.of(unit))} of {amount_text(unit, limit)} spent{held}"


def _allowed(budget: Budget) -> str:
    """The limits of a run that has spent nothing yet."""
    said = [f"{budget.usd:g} USD"] if budget.usd is not None else []
    said += [
        amount_text(unit, limit) for unit in UNITS if unit != "nanos" and (limit := getattr(budget, unit)) is not None
    ]
    return f"nothing of {', '.join(said)} spent" if said else ""
