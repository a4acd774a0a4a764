"""Ledgers on a real server: fifty callers at the edge, deaths at every point, the server's clock, and junk."""

import asyncio
import itertools
from collections.abc import AsyncGenerator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.account import Account, AccountKind, Amounts
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.task import RunTask
from stretto.shared.contracts.usage import Usage
from stretto.shared.money.books import Books
from stretto.shared.money.errors import BudgetSpent, LedgerUnreadable
from stretto.shared.money.ledger_log import LedgerLog
from stretto.shared.money.tenant_budget import TenantBudget
from tests.integration.ground import Ground, open_ground
from tests.unit.spenders import LIMITS, FlatPrices, Spenders

BUDGET = Budget(usd=0.000002)
TASK = RunTask(shard=0, task="t1", attempt=1, role="writer", input={}, budget=BUDGET)
NAMES: dict[str, AccountKind] = {"run": "run", "day": "day"}


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix) as ground:
        yield ground


def log_of(ground: Ground, kind: AccountKind, name: str) -> LedgerLog:
    return LedgerLog(
        connection=ground.connection,
        subjects=ground.subjects,
        wire=ground.wire,
        tenant="default",
        account=kind,
        name=name,
        sender="tester",
    )


def books_of(ground: Ground, **tenants: TenantBudget) -> Books:
    return Books(
        connection=ground.connection,
        deployment=ground.deployment,
        wire=ground.wire,
        sender="tester",
        prices=FlatPrices(),
        tenant_budgets=tenants,
    )


def key_of(ground: Ground, run: str = "r1") -> TaskKey:
    return TaskKey(ground.key(run), "writer", "t1", 1)


numbers = itertools.count()


@given(
    dies_after=st.lists(st.none() | st.integers(0, 60), min_size=5, max_size=5),
    shares=st.lists(st.integers(0, 100), min_size=50, max_size=50),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fifty_callers_never_pass_the_edge_wherever_they_die(
    nats_url: str, prefix: str, dies_after: list[int | None], shares: list[int]
) -> None:
    async def scene() -> None:
        async with open_ground(nats_url, f"{prefix}-{next(numbers)}") as ground:
            spenders = Spenders(
                lambda kind: log_of(ground, NAMES[kind], "x"), dies_after=dies_after, shares=shares, lost=()
            )
            await spenders.run()
            for kind in LIMITS:
                account, _ = await log_of(ground, NAMES[kind], "x").load()
                spenders.truths[kind].check(account)
            assert spenders.served + spenders.refused >= 10 * dies_after.count(None)

    asyncio.run(scene())


async def test_a_crash_between_reserve_and_settle_gives_the_reserve_back(nats_url: str, prefix: str) -> None:
    async with open_ground(nats_url, prefix, task_lease_s=0.2) as ground:
        dead, alive = books_of(ground), books_of(await ground.again())
        lost = dead.purse_of(key_of(ground), TASK)
        assert lost is not None
        await lost.for_model("flat", input_tokens=100, output_tokens=950)
        async with alive:
            mine = alive.purse_of(key_of(ground), TASK)
            assert mine is not None
            grant = await mine.for_model("flat", input_tokens=100, output_tokens=950)
            assert grant.output_tokens == 950
            held, _ = await log_of(ground, "run", "r1").load()
            assert len(held.open) == len(held.lapsed) == 1
            await grant.settle(Usage(model_calls=1, input_tokens=100, output_tokens=950, cost_usd=0.000002))
        account, _ = await log_of(ground, "run", "r1").load()
        assert account.spent == Amounts(nanos=2_000, tokens=1_050, model_calls=1)


async def test_what_is_reserved_for_a_long_call_does_not_lapse(nats_url: str, prefix: str) -> None:
    async with open_ground(nats_url, prefix, task_lease_s=0.2) as ground, books_of(ground) as books:
        purse = books.purse_of(key_of(ground), TASK)
        assert purse is not None
        grant = await purse.for_model("flat", input_tokens=100, output_tokens=950)
        log = log_of(ground, "run", "r1")
        first, _ = await log.load()
        until = first.open[grant.reservation].until
        async with asyncio.timeout(30):
            while (await log.load())[0].open[grant.reservation].until == until:  # noqa: ASYNC110 (the books renew it)
                await asyncio.sleep(0.01)


async def test_a_tenant_s_day_and_month_hold_for_all_its_runs(ground: Ground) -> None:
    budgets = TenantBudget(model_calls_per_day=2, usd_per_month=1.0)
    async with books_of(ground, default=budgets) as books:
        for run in ("r1", "r2"):
            found = books.purse_of(key_of(ground, run), TASK.model_copy(update={"budget": None}))
            assert found is not None
            purse = found
            grant = await purse.for_model("flat", input_tokens=1, output_tokens=1)
            await grant.settle(Usage(model_calls=1, input_tokens=1, output_tokens=1, cost_usd=0.5))
        with pytest.raises(
            BudgetSpent, match=r"tenant default's budget for 20\d\d-\d\d-\d\d \(UTC\) of 2 model calls is used up"
        ):
            await purse.for_model("flat", input_tokens=1, output_tokens=1)
    stored = await ground.connection.jetstream.read(
        ground.subjects.stream("LEDGERS"), f"{ground.subjects.prefix}.ledger.>"
    )
    assert sorted(one.subject.split(".")[3] for one in stored) == ["day", "month"]


async def test_without_limits_there_is_no_purse_and_no_write(ground: Ground) -> None:
    async with books_of(ground) as books:
        assert books.purse_of(key_of(ground), TASK.model_copy(update={"budget": Budget(tasks=3, seconds=9)})) is None
    assert await ground.depth(ground.subjects.stream("LEDGERS")) == 0


async def test_nothing_is_spent_from_a_ledger_that_cannot_be_read(ground: Ground) -> None:
    subject = ground.subjects.ledger("default", "run", "r1")
    await ground.connection.jetstream.store(subject, b"junk")
    async with books_of(ground) as books:
        purse = books.purse_of(key_of(ground), TASK)
        assert purse is not None
        with pytest.raises(LedgerUnreadable, match="r1 holds no account"):
            await purse.for_model("flat", input_tokens=1, output_tokens=1)


async def test_a_raise_is_the_same_raise_however_often_it_is_made(ground: Ground) -> None:
    async with books_of(ground) as books, books_of(await ground.again()) as others:
        for purse in (books.purse_of(key_of(ground), TASK), others.purse_of(key_of(ground), TASK)):
            assert purse is not None
            await purse.raise_run("nanos", 500, reason="q-1")
    account, _ = await log_of(ground, "run", "r1").load()
    assert account.limit("nanos") == 2_500
    assert isinstance(account, Account)
