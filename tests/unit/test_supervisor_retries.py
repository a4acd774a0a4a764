"""Retries: the committed policy says whether and when; the next attempt waits for its timer."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.shared.contracts.decision import PlanMade, PlanningAsked
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.retry import RetryPolicy
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.supervisor.choose import Chooser
from stretto.supervisor.decide import Outstanding, TimerOrder
from stretto.supervisor.playbooks import Playbooks
from stretto.supervisor.retries import Retries
from stretto.supervisor.router import Router
from stretto.supervisor.timers import retry_name
from tests.unit.supervisor_world import World, at

LATER = TaskFailure(kind="retryable", error="Busy", message="later")
EVEN = RetryPolicy(tries=3, delay_s=10, factor=2, jitter=0)


def run(retries: Mapping[str, RetryPolicy], task: PlannedTask | None = None) -> World:
    planned = task or PlannedTask(id="one", role="worker")
    world = World()
    world.ask()
    world.commit(PlanMade(plan=Plan(playbook="p", tasks=(planned,), answer=planned.id), retries=dict(retries)))
    return world


def fail(world: World, failure: TaskFailure = LATER) -> None:
    (due,) = world.orders().due
    world.record(TaskResult(task=due.task, attempt=due.attempt, role=due.role, agent="a", failure=failure))


def test_a_failed_task_is_delayed_until_its_timer() -> None:
    world = run({"worker": EVEN})
    fail(world)
    orders = world.orders()
    assert (orders.due, orders.parked) == ((), True)
    deadline = TimerOrder("deadline", at(1) + timedelta(seconds=900))
    assert orders.timers == (deadline, TimerOrder("retry-one-2", at(3) + timedelta(seconds=10)))
    world.fire("retry-one-2")
    assert [due.attempt for due in world.orders().due] == [2]


def test_each_delay_is_longer_than_the_last() -> None:
    world = run({"worker": EVEN})
    fail(world)
    world.fire("retry-one-2")
    fail(world)
    assert world.orders().timers[1] == TimerOrder("retry-one-3", at(5) + timedelta(seconds=20))


def test_a_delay_of_nothing_is_due_at_once() -> None:
    world = run({"worker": RetryPolicy(delay_s=0)})
    fail(world)
    assert [due.attempt for due in world.orders().due] == [2]


def test_of_two_results_of_an_attempt_the_first_counts() -> None:
    world = run({"worker": EVEN})
    fail(world)
    world.record(TaskResult(task="one", attempt=1, role="worker", agent="late", output={"n": 1}))
    assert world.orders().parked


def test_a_timer_of_another_attempt_does_not_count() -> None:
    world = run({"worker": EVEN})
    fail(world)
    world.fire("retry-one-3")
    world.fire("retry-other-2")
    assert world.orders().parked


@pytest.mark.parametrize(
    ("retries", "tries"),
    [
        ({"worker": RetryPolicy(tries=4, delay_s=0), "default": RetryPolicy(tries=1)}, 4),
        ({"default": RetryPolicy(tries=3, delay_s=0), "other": RetryPolicy(tries=9)}, 3),
        ({"worker": RetryPolicy(tries=1)}, 1),
    ],
)
def test_the_roles_own_policy_comes_before_the_default(retries: dict[str, RetryPolicy], tries: int) -> None:
    world = run(retries)
    for _ in range(tries):
        fail(world)
    answer = world.orders().answer
    assert answer is not None
    assert answer.tasks[0].attempts == tries


def test_without_any_policy_there_are_two_tries() -> None:
    world = run({})
    fail(world)
    world.fire("retry-one-2")
    fail(world)
    assert world.orders().answer is not None


def test_the_plan_may_want_another_number_of_tries() -> None:
    world = run({"worker": RetryPolicy(tries=9, delay_s=0)}, PlannedTask(id="one", role="worker", max_attempts=2))
    fail(world)
    fail(world)
    answer = world.orders().answer
    assert answer is not None
    assert answer.reason == "task one (worker) failed 2 times, the last time with: later"


def test_an_error_that_the_policy_does_not_name_is_final() -> None:
    world = run({"worker": RetryPolicy(on=("Overloaded",))})
    fail(world)
    assert world.orders().answer is not None


def test_a_delayed_task_of_a_cancelled_run_is_outstanding() -> None:
    world = run({"worker": EVEN})
    fail(world)
    world.cancel()
    assert world.orders().outstanding == (Outstanding("worker", "one", 2),)


def test_the_planner_is_tried_again_by_the_same_rules() -> None:
    world = World()
    world.ask()
    fallback = Plan(playbook="p", tasks=(PlannedTask(id="one", role="worker"),), answer="one")
    world.commit(PlanningAsked(roles=(), fallback=fallback, retries={"planner": EVEN}))
    fail(world)
    assert world.orders().parked
    world.fire("retry-plan-2")
    assert [(due.task, due.attempt) for due in world.orders().due] == [("plan", 2)]


@given(st.text("ab-", min_size=1, max_size=64), st.integers(2, 20))
def test_a_timers_name_fits_in_a_subject(task: str, attempt: int) -> None:
    assert len(retry_name(task, attempt)) <= 64
    assert retry_name(task, attempt) != retry_name(task, attempt + 1)


@given(st.text("ab-", min_size=1, max_size=8), st.integers(1, 20))
def test_the_same_run_and_task_give_the_same_delay_and_it_stays_in_its_bounds(seed: str, tries: int) -> None:
    policy = RetryPolicy(tries=tries, delay_s=8, factor=2, max_delay_s=20, jitter=0.25)
    planned = PlannedTask(id="one", role="worker")
    delays = [Retries({"default": policy}, seed).next_delay_s("one", planned, LATER, n) for n in range(1, tries + 1)]
    assert delays == [
        Retries({"worker": policy}, seed).next_delay_s("one", planned, LATER, n) for n in range(1, tries + 1)
    ]
    assert delays.pop() is None
    assert all(delay is not None and 6 <= delay <= 25 for delay in delays)


def test_what_failed_together_does_not_come_back_together() -> None:
    planned = PlannedTask(id="one", role="worker")
    delays = {Retries({}, str(seed)).next_delay_s("one", planned, LATER, 1) for seed in range(100)}
    assert len(delays) == 100


@pytest.mark.parametrize("playbook", ["brief", "planner"])
async def test_the_deployments_policies_are_committed_with_the_plan(playbook: str) -> None:
    playbooks = Playbooks.load()
    chooser = Chooser(playbooks=playbooks, router=Router(playbooks=playbooks), retries={"writer": EVEN})
    (event,) = await chooser.choose(Request(text="what?", playbook=playbook), ())
    assert isinstance(event, PlanMade | PlanningAsked)
    assert event.retries == {"writer": EVEN}


@given(
    wait_s=st.floats(0, 86_400),
    jitter=st.floats(0, 1),
    delay_s=st.floats(0, 100),
    seeds=st.lists(st.text(max_size=9), min_size=2, max_size=9, unique=True),
)
def test_nothing_comes_back_before_it_was_asked_to(
    wait_s: float, jitter: float, delay_s: float, seeds: list[str]
) -> None:
    policy = RetryPolicy(delay_s=delay_s, jitter=jitter)
    failure = LATER.model_copy(update={"retry_after_s": wait_s})
    delays = [policy.next_delay_s(failure, 1, seed) for seed in seeds]
    assert delays == [policy.next_delay_s(failure, 1, seed) for seed in seeds]
    for seed, delay in zip(seeds, delays, strict=True):
        own = policy.next_delay_s(LATER, 1, seed)
        assert delay is not None
        assert own is not None
        assert max(own, wait_s) <= delay <= max(own, wait_s * (1 + jitter))


def test_what_was_told_to_come_back_at_one_time_is_spread_over_what_follows() -> None:
    failure = LATER.model_copy(update={"retry_after_s": 60.0})
    delays = {RetryPolicy().next_delay_s(failure, 1, str(run)) for run in range(100)}
    assert len(delays) == 100


def test_the_timer_of_a_task_waits_as_long_as_the_failure_says() -> None:
    world = run({"worker": EVEN})
    fail(world, LATER.model_copy(update={"retry_after_s": 25.0}))
    assert world.orders().timers[1] == TimerOrder("retry-one-2", at(3) + timedelta(seconds=25))
