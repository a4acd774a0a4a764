"""What holds for every plan, every outcome and every order of the log."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import PlanMade, RunRejected
from stretto.shared.contracts.plan import Plan
from stretto.shared.contracts.retry import RetryPolicy
from stretto.shared.contracts.review import Review
from stretto.supervisor.decide import DueTask, Orders, decide
from stretto.supervisor.facts import Asked, TimerFired
from stretto.supervisor.plan_check import PROPOSAL_BOUNDS, check_plan
from stretto.supervisor.state import evolve
from stretto.supervisor.timers import retry_name
from tests.unit.supervisor_world import LIMITS, ROLES, Agents, World, at, dice, fold, made_by, plans, question

SEEDS = st.integers(0, 2**32)


@given(plans())
def test_generated_plans_keep_the_rules(plan: Plan) -> None:
    assert check_plan(plan.tasks, plan.answer, ROLES, PROPOSAL_BOUNDS) == ()


@given(plans(), SEEDS, SEEDS)
def test_every_run_ends(plan: Plan, seed: int, order: int) -> None:
    # At the most twelve rounds of a task, each with three attempts, two questions and a delay: far fewer than the limit of steps.
    answer = World.with_plan(plan).finish(Agents(seed), dice(order), steps=len(plan.tasks) * 12 * 3 * 6 + 1)
    assert answer.state in {"completed", "failed"}
    assert (answer.state == "completed") == answer.answered


@given(plans(), SEEDS, SEEDS, SEEDS)
def test_the_order_in_which_tasks_end_does_not_change_the_answer(plan: Plan, seed: int, one: int, other: int) -> None:
    agents = Agents(seed, calm=True)
    first = World.with_plan(plan).finish(agents, dice(one))
    second = World.with_plan(plan).finish(agents, dice(other))
    if first.state == second.state == "completed":
        assert first == second
    else:  # several reviewers may end it: whoever came first says why
        assert "completed" not in {first.state, second.state}


@given(plans(), SEEDS, SEEDS)
def test_any_order_and_repetition_of_the_log_gives_the_same_state_and_orders(plan: Plan, seed: int, order: int) -> None:
    chance = dice(order)
    world = World.with_plan(plan)
    voices = _second_voices(world, plan)
    for _ in range(chance.randint(0, 40)):
        if world.step(Agents(seed), chance) is not None:
            break
        if chance.random() < 0.1:
            chance.choice(voices)()
    for once_more in chance.sample(voices, k=3):
        once_more()
    mixed = world.log + chance.choices(world.log, k=len(world.log))
    chance.shuffle(mixed)
    again = fold(mixed)
    assert again == world.state
    assert decide(again, at(0), LIMITS) == decide(world.state, at(0), LIMITS)


@given(plans(), SEEDS, SEEDS)
def test_folding_a_fact_again_changes_nothing(plan: Plan, seed: int, order: int) -> None:
    world = World.with_plan(plan)
    world.finish(Agents(seed), dice(order))
    for fact in world.log:
        assert evolve(world.state, fact) == world.state


@given(plans(), SEEDS, SEEDS)
def test_what_comes_after_the_end_does_not_change_the_answer(plan: Plan, seed: int, order: int) -> None:
    chance = dice(order)
    world = World.with_plan(plan)
    agents, others = Agents(seed), Agents(seed + 1)
    still_due, still_open = world.orders().due, world.state.open_questions
    while world.step(agents, chance) is None:
        if world.orders().answer is None:
            still_due, still_open = world.orders().due, world.state.open_questions
        if chance.random() < 0.05:
            world.cancel()
    orders = world.orders()
    for due in still_due:  # agents that did not hear of the end
        world.go_on(others, due)
    for one in still_open:  # nor people
        world.decide(others, one.question)
    world.cancel("too late")
    world.fire()
    assert world.orders() == orders
    assert orders == Orders(answer=orders.answer, outstanding=orders.outstanding)


@given(plans(), SEEDS, SEEDS)
def test_no_task_starts_before_its_inputs(plan: Plan, seed: int, order: int) -> None:
    chance = dice(order)
    world = World.with_plan(plan)
    while world.step(Agents(seed), chance) is None:
        succeeded = {result.task: result.output for result in world.results() if result.output is not None}
        for due in world.orders().due:
            _check_inputs(plan, due, succeeded)


def _check_inputs(plan: Plan, due: DueTask, succeeded: dict[str, dict[str, JsonValue]]) -> None:
    """Every source of the task gave it one recorded output: of its own loop the same round's, of another loop the approved one."""
    base, round_ = _split(due.task)
    planned = {task.id: task for task in plan.tasks}
    wanted = {
        source
        for sources in planned[base].inputs.values()
        for source in ((sources,) if isinstance(sources, str) else sources)
    }
    seen = made_by({name: value for name, value in due.input.items() if name not in {"previous", "notes"}})
    assert seen <= succeeded.keys()
    assert len(seen) == len(wanted)
    for source in wanted:
        (version,) = (one for one in seen if _split(one)[0] in (source, f"{source}-then"))
        review = f"{_root(source)}-review"
        if base.endswith("-then") or review not in planned:
            continue
        if _root(base) == _root(source):
            assert _split(version) == (source, round_)
        elif f"{_root(source)}-then" not in succeeded:  # else that task settled the whole loop
            approved = succeeded[_version(review, _split(version)[1])]
            assert Review.model_validate(approved).verdict == "approve"


@given(plans(revisions=False), SEEDS, SEEDS)
def test_a_task_is_due_as_soon_as_its_own_inputs_are_there(plan: Plan, seed: int, order: int) -> None:
    chance = dice(order)
    world = World.with_plan(plan)
    while (orders := world.orders()).answer is None:
        succeeded = {result.task for result in world.results() if result.output is not None}
        ready = {
            task.id
            for task in plan.tasks
            if task.id not in succeeded and all(set(sources) <= succeeded for sources in task.inputs.values())
        }
        in_progress = {task.id for task in world.state.in_progress}
        assert in_progress == ready
        assert {due.task for due in orders.due} <= ready
        world.step(Agents(seed), chance)


@given(plans(), SEEDS, SEEDS)
def test_an_attempt_is_due_exactly_while_it_has_no_result(plan: Plan, seed: int, order: int) -> None:
    chance = dice(order)
    world = World.with_plan(plan)
    while (orders := world.orders()).answer is None:
        recorded = {(result.task, result.attempt) for result in world.results()}
        for due in orders.due:
            assert (due.task, due.attempt) not in recorded
            assert due.attempt == 1 or (due.task, due.attempt - 1) in recorded
        world.step(Agents(seed), chance)


@given(plans(), SEEDS, SEEDS)
def test_no_task_is_tried_more_often_than_it_may_nor_before_its_timer(plan: Plan, seed: int, order: int) -> None:
    chance = dice(order)
    world = World.with_plan(plan)
    tries = {task.id: task.max_attempts or RetryPolicy().tries for task in plan.tasks}
    while world.step(Agents(seed), chance) is None:
        fired = {fact.name for fact in world.log if isinstance(fact, TimerFired)}
        for due in world.orders().due:
            assert due.attempt <= tries[_split(due.task)[0]]
            assert due.attempt == 1 or retry_name(due.task, due.attempt) in fired


@given(plans(), SEEDS, SEEDS)
def test_an_attempt_that_asked_is_due_again_exactly_when_all_is_settled(plan: Plan, seed: int, order: int) -> None:
    chance = dice(order)
    world = World.with_plan(plan)
    while world.step(Agents(seed), chance) is None:
        due = {(one.task, one.attempt): one for one in world.orders().due}
        ended = {(result.task, result.attempt) for result in world.results()}
        still_open = {(one.question.task, one.question.attempt) for one in world.state.open_questions}
        assert not still_open & ended
        if world.orders().answer is None:
            for asked in (fact.question for fact in world.log if isinstance(fact, Asked)):
                place = (asked.task, asked.attempt)
                assert (place in due) + (place in still_open) + (place in ended) == 1
                assert place not in due or asked.id in [settled.question for settled in due[place].settled]


@given(plans(), SEEDS, SEEDS)
def test_all_that_was_spent_is_in_the_answer(plan: Plan, seed: int, order: int) -> None:
    world = World.with_plan(plan)
    answer = world.finish(Agents(seed), dice(order))
    assert answer.usage.model_calls == len(world.results())
    assert answer.usage.cost_usd == pytest.approx(sum(result.usage.cost_usd for result in world.results()))
    assert sum(report.attempts for report in answer.tasks) == len(world.results())


def _second_voices(world: World, plan: Plan) -> list[Callable[[], None]]:
    """What may stand in a log twice, of which the first counts."""
    other = plan.model_copy(update={"playbook": "other"})
    done = next(iter(world.results()), None)
    asked = question("t0", 1, "worker", 0)
    return [
        world.ask,
        lambda: world.put(asked),
        lambda: world.put(asked.model_copy(update={"text": "something else?"})),
        lambda: world.command(Command(verb="reject", question=asked.id, text="no")),
        lambda: world.command(Command(verb="approve", question=asked.id), "grace"),
        lambda: world.command(Command(verb="answer", question="q-nobody", text="what?")),
        lambda: world.fire(asked.id),
        lambda: world.fire("deadline-1"),
        lambda: world.fire(retry_name("t0", 2)),
        world.cancel,
        lambda: world.cancel("again"),
        world.fire,
        world.fire,
        lambda: world.commit(PlanMade(plan=other)),
        lambda: world.commit(RunRejected(reason="no")),
        lambda: world.record(done.model_copy(update={"agent": "other"})) if done else None,
    ]


def _split(task: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.+)-r(\d+)", task)
    return (found[1], int(found[2])) if found else (task, 1)


def _version(task: str, round_: int) -> str:
    return task if round_ == 1 else f"{task}-r{round_}"


def _root(task: str) -> str:
    return _split(task)[0].partition("-")[0]
