"""BudgetPurse: what an attempt may spend: of its run's budget, and of its tenant's for the day and the month."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from math import ceil
from typing import Final, NamedTuple

from stretto.bus.envelope import new_id
from stretto.bus.failpoints import reach
from stretto.shared.contracts.account import NANOS, AccountKind, Amounts, Unit
from stretto.shared.contracts.usage import Usage
from stretto.shared.money.account import Ask, Granted, Shortage
from stretto.shared.money.errors import BudgetSpent, PriceUnknown
from stretto.shared.money.ledger import Ledger
from stretto.shared.money.price import Priced, Prices
from stretto.shared.money.wording import amount_text
from stretto.shared.telemetry.counters import budget_refused, budget_spent

__all__ = ["BudgetPurse", "Budgeted", "nanos_of"]

_LEAST_OUTPUT_TOKENS: Final = 512
"""A reply that may get no longer is of no use: it would be cut off, and paid for."""


class Budgeted(NamedTuple):
    """An account that has limits: whose budget it is, in words, and its ledger."""

    account: AccountKind
    whose: str
    ledger: Ledger


class BudgetPurse:
    """Reserves each call on every account that has limits, and settles it there.

    Where calls in flight may leave enough over, it is waited for them.

    Args:
        accounts: those that count now: days pass.
        now: the server's time.
        look_again_s: while it waits for calls in flight, it looks so often whether other processes have settled theirs.
    """

    def __init__(
        self,
        *,
        accounts: Callable[[], Sequence[Budgeted]],
        prices: Prices,
        now: Callable[[], datetime],
        look_again_s: float = 0.5,
    ) -> None:
        self._accounts = accounts
        self._prices = prices
        self._now = now
        self._look_again_s = look_again_s

    async def for_model(self, model: str, *, input_tokens: int, output_tokens: int) -> "BudgetGrant":
        """As `Purse.for_model`. Where the budget has no more left the reply may be shorter, but never shorter than 512 tokens."""
        accounts = self._accounts()
        price = self._prices.price_of(model)
        if price is None and any(one.ledger.limits.nanos is not None for one in accounts):
            raise PriceUnknown(
                f"a budget in US dollars holds, and nobody knows what {model} costs: add a section "
                f'[prices."{model}"] with input = and output = (US dollars per million tokens) to stretto.toml'
            )
        read, written = _most(price, input_tokens, output_tokens) if price else (0, 0)
        ask = Ask(
            fixed=Amounts(nanos=read, tokens=input_tokens, model_calls=1),
            each=Amounts(nanos=ceil(written / output_tokens) if output_tokens else 0, tokens=1),
            output_tokens=output_tokens,
            least=min(output_tokens, _LEAST_OUTPUT_TOKENS),
        )
        return await self._reserve(ask, f"a call of {model}")

    async def for_tool(self, name: str) -> "BudgetGrant":
        """As `Purse.for_tool`."""
        return await self._reserve(Ask(fixed=Amounts(tool_calls=1)), f"a call of the tool {name}")

    async def raise_run(self, unit: Unit, by: int, *, reason: str) -> None:
        """Add to the limits of the run's budget, once for each `reason`."""
        for one in self._accounts():
            if one.account == "run":
                await one.ledger.raise_limits(reason, Amounts.model_validate({unit: by}))

    async def _reserve(self, ask: Ask, what: str) -> "BudgetGrant":
        while True:
            accounts, reservation = self._accounts(), new_id()
            try:
                found = await asyncio.gather(*(one.ledger.reserve(reservation, ask) for one in accounts))
            except BaseException:
                _give_back(accounts, reservation)
                raise
            short = [(one, how) for one, how in zip(accounts, found, strict=True) if isinstance(how, Shortage)]
            if not short:
                reach("agent.reserved")
                granted = [how.output_tokens for how in found if isinstance(how, Granted)]
                tokens = min(granted, default=ask.output_tokens)
                return BudgetGrant(accounts, reservation, tokens)
            _give_back([one for one, how in zip(accounts, found, strict=True) if isinstance(how, Granted)], reservation)
            for one, how in short:
                if how.retry_at is None:
                    budget_refused(one.account, how.unit)
                    raise _spent(one, how, what)
            one, how = short[0]
            left_s = (how.retry_at - self._now()).total_seconds() if how.retry_at else 0.0
            await one.ledger.changed(within_s=min(self._look_again_s, max(left_s, 0.0)))


class BudgetGrant:
    """One reserved call.

    Attributes:
        reservation: its id in the ledgers.
        output_tokens: how long its reply may get.
    """

    def __init__(self, accounts: Sequence[Budgeted], reservation: str, output_tokens: int) -> None:
        self.reservation = reservation
        self._accounts = accounts
        self._output_tokens = output_tokens

    @property
    def output_tokens(self) -> int:
        return self._output_tokens

    async def settle(self, usage: Usage) -> None:
        """As `Grant.settle`; a second time it counts for nothing."""
        reach("agent.before_settle")
        took = Amounts(
            nanos=nanos_of(usage.cost_usd),
            tokens=usage.input_tokens + usage.output_tokens,
            model_calls=usage.model_calls,
            tool_calls=usage.tool_calls,
        )
        await asyncio.gather(*(one.ledger.settle(self.reservation, took) for one in self._accounts))
        for one in self._accounts:
            budget_spent(one.account, usage.cost_usd)


def nanos_of(usd: float) -> int:
    """Billionths of a US dollar, to the nearest."""
    return round(usd * NANOS)


def _most(price: Priced, input_tokens: int, output_tokens: int) -> tuple[int, int]:
    """What a request costs at the most, in nanos: before anything is written, and for what is, whether thoughts or text."""
    read = Usage(model_calls=1, input_tokens=input_tokens)
    text = read + Usage(output_tokens=output_tokens)
    thoughts = text + Usage(reasoning_tokens=output_tokens)
    first = nanos_of(price.cost_usd(read))
    return first, max(nanos_of(price.cost_usd(one)) for one in (text, thoughts)) - first


def _give_back(accounts: Sequence[Budgeted], reservation: str) -> None:
    for one in accounts:
        one.ledger.give_back(reservation)


def _spent(budgeted: Budgeted, shortage: Shortage, what: str) -> BudgetSpent:
    unit, limit, spent = shortage.unit, shortage.limit, shortage.spent
    left = max(0, limit - spent)
    return BudgetSpent(
        f"{budgeted.whose} of {amount_text(unit, limit)} is used up: {amount_text(unit, spent)} spent, {amount_text(unit, left)} left, "
        f"and {what} needs at least {amount_text(unit, shortage.needed)}",
        account=budgeted.account,
        unit=unit,
        limit=limit,
        spent=spent,
        needed=shortage.needed,
    )
