"""Ledgers of several processes on one account: group commits, conflicts, lost acknowledgements, and processes that die."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stretto.shared.contracts.account import Account, Amounts, Limits
from stretto.shared.contracts.usage import Usage
from stretto.shared.money.account import Ask, Granted, Shortage
from stretto.shared.money.errors import BudgetSpent, PriceUnknown
from stretto.shared.money.ledger import Ledger
from stretto.shared.money.price import Price
from stretto.shared.money.purse import Budgeted, BudgetPurse
from tests.unit.spenders import LIMITS, FlatPrices, MemoryStore, Spenders

NOW = datetime(2026, 1, 31, tzinfo=UTC)
ONE = Ask(Amounts(model_calls=1))


def blank(kind: str = "run") -> MemoryStore:
    return MemoryStore(Account.model_validate({"account": kind, "name": "r1"}))


def ledger(store: MemoryStore, **limits: int) -> Ledger:
    return Ledger(store=store, limits=Limits(**limits), now=lambda: NOW)


def purse(store: MemoryStore, **limits: int) -> BudgetPurse:
    accounts = [Budgeted("run", "the run's budget", ledger(store, **limits))]
    return BudgetPurse(accounts=lambda: accounts, prices=FlatPrices(), now=lambda: NOW)


@given(
    dies_after=st.lists(st.none() | st.integers(0, 60), min_size=5, max_size=5),
    shares=st.lists(st.integers(0, 100), min_size=50, max_size=50),
    lost=st.sampled_from([(), (), (), (True, False, False, False)]),
)
@settings(max_examples=25, deadline=None)
def test_fifty_callers_never_pass_the_edge_wherever_they_die(
    dies_after: list[int | None], shares: list[int], lost: tuple[bool, ...]
) -> None:
    stores = {kind: blank(kind) for kind in LIMITS}

    async def scene() -> Spenders:
        spenders = Spenders(stores.__getitem__, dies_after=dies_after, shares=shares, lost=lost)
        await spenders.run()
        return spenders

    spenders = asyncio.run(scene())
    for kind, store in stores.items():
        spenders.truths[kind].check(store.account)
    living = sum(1 for one in dies_after if one is None) * 10
    assert spenders.served + spenders.refused >= living
    if spenders.refused:
        run = stores["run"].account
        assert LIMITS["run"].nanos is not None
        assert LIMITS["run"].model_calls is not None
        assert (
            LIMITS["run"].nanos - run.spent.nanos < 100 + 2 * 512 or run.spent.model_calls == LIMITS["run"].model_calls
        )


async def test_what_waits_goes_out_in_one_write() -> None:
    store = blank()
    mine = ledger(store, model_calls=50)
    await asyncio.gather(*(mine.reserve(f"c{number}", ONE) for number in range(50)))
    assert (len(store.account.open), store.seq) == (50, 1), "all came while the account was read"
    await asyncio.gather(*(mine.settle(f"c{number}", Amounts()) for number in range(50)))
    assert (len(store.account.open), store.seq) == (0, 3), "the first alone, all others together"


async def test_what_others_gave_back_is_seen_before_a_refusal() -> None:
    store = blank()
    mine, theirs = ledger(store, model_calls=1), ledger(store, model_calls=1)
    assert await mine.reserve("a", ONE) == Granted(0)
    assert isinstance(await theirs.reserve("b", ONE), Shortage)
    await mine.settle("a", Amounts())
    assert await theirs.reserve("b", ONE) == Granted(0)


async def test_a_settlement_that_nobody_waits_for_is_counted_with_the_next_write() -> None:
    store = blank()
    mine = ledger(store, model_calls=9)
    await mine.reserve("a", ONE)
    settling = asyncio.ensure_future(mine.settle("a", Amounts(model_calls=1)))
    await asyncio.sleep(0)
    settling.cancel()
    await asyncio.wait([settling])
    assert not mine.is_idle
    await mine.tend()
    assert mine.is_idle
    assert store.account.spent == Amounts(model_calls=1)


async def test_a_reservation_that_nobody_waits_for_is_given_back() -> None:
    store = blank()
    mine = ledger(store, model_calls=1)
    reserving = asyncio.ensure_future(mine.reserve("a", ONE))
    while not store.account.open:  # noqa: ASYNC110 (until it is written, and before that is acknowledged)
        await asyncio.sleep(0)
    reserving.cancel()
    await asyncio.wait([reserving])
    assert reserving.cancelled()
    await mine.tend()
    assert store.account.open == {}
    assert mine.is_idle


async def test_a_refusal_costs_no_write_and_says_what_was_needed() -> None:
    store = blank()
    mine = purse(store, nanos=1_000)
    grant = await mine.for_model("flat", input_tokens=100, output_tokens=450)
    await grant.settle(Usage(model_calls=1, input_tokens=100, output_tokens=400, cost_usd=0.0000009))
    written = store.seq
    with pytest.raises(BudgetSpent) as raised:
        await mine.for_model("flat", input_tokens=10, output_tokens=1_000)
    assert store.seq == written
    assert str(raised.value) == (
        "the run's budget of 0.000001 USD is used up: 0.0000009 USD spent, 0.0000001 USD left, "
        "and a call of flat needs at least 0.000001034 USD"
    )
    assert (raised.value.account, raised.value.unit, raised.value.needed) == ("run", "nanos", 1_034)


async def test_a_call_waits_for_those_in_flight_and_gets_what_they_leave() -> None:
    mine = purse(blank(), tokens=1_200)
    first = await mine.for_model("flat", input_tokens=100, output_tokens=1_000)
    second = asyncio.ensure_future(mine.for_model("flat", input_tokens=100, output_tokens=1_000))
    await first.settle(Usage(model_calls=1, input_tokens=100, output_tokens=10))
    assert (await second).output_tokens == 990


async def test_an_unknown_price_is_refused_only_where_money_is_limited() -> None:
    with pytest.raises(PriceUnknown, match=r'\[prices\."unknown"\]'):
        await purse(blank(), nanos=1_000).for_model("unknown", input_tokens=1, output_tokens=1)
    grant = await purse(blank(), tokens=1_000).for_model("unknown", input_tokens=1, output_tokens=1)
    assert grant.output_tokens == 1


async def test_the_most_that_a_request_can_cost_is_reserved() -> None:
    class Dear:
        def price_of(self, model: str) -> Price:
            return Price(input=1, output=2, reasoning=3, cached_input=0.5, request=0.001)

    store = blank()
    accounts = [Budgeted("run", "the run's budget", ledger(store, nanos=10_000_000))]
    mine = BudgetPurse(accounts=lambda: accounts, prices=Dear(), now=lambda: NOW)
    await mine.for_model("dear", input_tokens=1_000, output_tokens=1_000)
    assert store.account.reserved == Amounts(nanos=1_000_000 + 1_000_000 + 3_000_000, tokens=2_000, model_calls=1)


async def test_a_tool_call_is_counted() -> None:
    mine = purse(blank(), tool_calls=1)
    await (await mine.for_tool("tickets")).settle(Usage(tool_calls=1))
    with pytest.raises(
        BudgetSpent, match=r"budget of 1 tool call is used up.*the tool tickets needs at least 1 tool call"
    ):
        await mine.for_tool("tickets")
