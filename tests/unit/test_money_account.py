"""The pure state of a budget: whatever callers do and wherever they die, no more is spent than there is, and that is known exactly."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stretto.shared.contracts.account import Account, Amounts, Limits
from stretto.shared.money.account import (
    MOST_OPEN,
    REMEMBERED,
    Ask,
    Granted,
    Shortage,
    lapse,
    raise_limits,
    renew,
    reserve,
    settle,
)

LIMIT = 10_000
CALLERS = 50
KEPT = timedelta(seconds=60)
START = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
CALL = Ask(
    fixed=Amounts(nanos=100, tokens=10, model_calls=1), each=Amounts(nanos=3, tokens=1), output_tokens=200, least=50
)


@dataclass
class Call:
    """One caller's call. `cost` is what the provider charges; None before it answered."""

    most: int
    cost: int | None = None
    dead: bool = False
    late: bool = False


class Callers(RuleBasedStateMachine):
    """Fifty callers at the edge of one budget. Each may die at any point, or stand still until its reservation has lapsed."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account(account="run", name="r1", limits=Limits(nanos=LIMIT))
        self.now = START
        self.calls: dict[str, Call] = {}
        self.charged = 0
        self.came_late = 0
        self.ids = 0

    def some(self, data: st.DataObject, names: list[str]) -> str:
        return data.draw(st.sampled_from(names))

    @property
    def alive(self) -> list[str]:
        return [one for one, call in self.calls.items() if not call.dead]

    @precondition(lambda self: len(self.alive) < CALLERS)
    @rule(wanted=st.integers(1, 2_000), twice=st.booleans())
    def reserve(self, wanted: int, twice: bool) -> None:
        self.ids += 1
        name = f"c{self.ids}"
        ask = Ask(CALL.fixed, CALL.each, output_tokens=wanted, least=min(wanted, CALL.least))
        before = self.account
        self.account, outcome = reserve(lapse(before, now=self.now), name, ask, until=self.now + KEPT)
        match outcome:
            case Granted(tokens):
                assert ask.least <= tokens <= wanted
                assert tokens == wanted or not before.open, "less than asked for, though calls in flight may leave some"
                self.calls[name] = Call(ask.amounts(tokens).nanos)
                if twice:  # the answer to the write was lost
                    assert reserve(self.account, name, ask, until=self.now + KEPT) == (self.account, outcome)
            case Shortage(retry_at=None):
                assert LIMIT - self.account.spent.nanos < ask.amounts(ask.least).nanos
            case Shortage(retry_at=at):
                assert self.account.open
                assert at is not None
                assert at > self.now

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), share=st.integers(0, 100))
    def answered(self, data: st.DataObject, share: int) -> None:
        call = self.calls[self.some(data, self.alive)]
        call.cost = call.most * share // 100

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), twice=st.booleans())
    def settle(self, data: st.DataObject, twice: bool) -> None:
        name = self.some(data, self.alive)
        call = self.calls.pop(name)
        if name not in self.account.open and name not in self.account.lapsed:
            return  # nobody remembers it
        if name in self.account.lapsed:
            self.came_late += call.most
        for _ in range(1 + twice):
            self.account = settle(self.account, name, Amounts(nanos=call.cost or 0))
        self.charged += call.cost or 0

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """Before the call, in it, or when it has answered: for the ledger that is one."""
        self.calls[self.some(data, self.alive)].dead = True

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        name = self.some(data, self.alive)
        if name in self.account.lapsed:
            self.came_late += self.calls[name].most
        self.account = renew(self.account, [name], until=self.now + KEPT)

    @rule(seconds=st.integers(0, 90))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.account = lapse(self.account, now=self.now)

    @invariant()
    def what_was_charged_is_spent(self) -> None:
        assert self.account.spent.nanos == self.charged

    @invariant()
    def never_over(self) -> None:
        """What comes back after it had lapsed may be over: it is a fact. Nothing else ever is."""
        assert self.account.spent.nanos + self.account.reserved.nanos <= LIMIT + self.came_late

    @invariant()
    def nothing_is_kept_for_the_dead(self) -> None:
        assert all(one.until > self.now for one in self.account.open.values())

    def teardown(self) -> None:
        assert not lapse(self.account, now=self.now + KEPT).open


Callers.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestCallers = Callers.TestCase


def account(**limits: int) -> Account:
    return Account(account="run", name="r1", limits=Limits(**limits))


def take(before: Account, name: str, ask: Ask = CALL) -> tuple[Account, Granted | Shortage]:
    return reserve(before, name, ask, until=START + KEPT)


def test_each_unit_is_a_limit_of_its_own() -> None:
    one = Ask(Amounts(tool_calls=1))
    after, outcome = take(account(tool_calls=1, nanos=0), "a", one)
    assert outcome == Granted(0)
    after = settle(after, "a", Amounts(tool_calls=1))
    assert take(after, "b", one)[1] == Shortage("tool_calls", limit=1, spent=1, needed=1)
    assert isinstance(take(after, "b")[1], Shortage), "money is used up too"


def test_a_shorter_reply_is_granted_where_nothing_else_is_left() -> None:
    assert take(account(tokens=110), "a")[1] == Granted(100)
    assert take(account(tokens=60), "a")[1] == Granted(50)
    assert take(account(tokens=59), "a")[1] == Shortage("tokens", limit=59, spent=0, needed=60)


def test_it_is_waited_for_calls_that_may_leave_enough_over() -> None:
    after, _ = take(account(tokens=300), "a")
    assert take(after, "b")[1] == Shortage("tokens", limit=300, spent=0, needed=60, retry_at=START + KEPT)
    after = settle(after, "a", Amounts(tokens=20))
    assert take(after, "b")[1] == Granted(200)


def test_what_is_settled_after_it_has_lapsed_counts_once_and_is_forgotten_in_the_end() -> None:
    after, _ = take(account(nanos=1_000), "a")
    late = lapse(after, now=START + KEPT)
    assert not late.open
    took = Amounts(nanos=500)
    assert settle(settle(late, "a", took), "a", took).spent == took
    forgotten = lapse(late, now=START + KEPT + REMEMBERED)
    assert settle(forgotten, "a", took) is forgotten


def test_a_raise_counts_once_and_only_for_what_has_a_limit() -> None:
    raised = raise_limits(account(nanos=5), "q-1", Amounts(nanos=10, tokens=10))
    assert raise_limits(raised, "q-1", Amounts(nanos=10)) is raised
    assert (raised.limit("nanos"), raised.limit("tokens")) == (15, None)


def test_one_account_has_room_for_so_many_calls_at_once() -> None:
    full = account(model_calls=10 * MOST_OPEN)
    one = Ask(Amounts(model_calls=1))
    for number in range(MOST_OPEN):
        full, _ = take(full, f"c{number}", one)
    outcome = take(full, "more", one)[1]
    assert isinstance(outcome, Shortage)
    assert outcome.retry_at == START + KEPT
