"""Deadlines: a request's own is hard; the deployment's does not run while only people are waited for."""

from datetime import timedelta

from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import PlanMade
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskFailure
from stretto.supervisor.decide import TimerOrder
from tests.unit.supervisor_world import World, at
from tests.unit.test_supervisor_questions import ONE, TWO, approved, asks, parked, result


def in_a_hurry() -> World:
    """A parked run whose request sets a limit of its own."""
    world = World()
    world.ask(Request(text="what?", deadline_s=60))
    world.commit(PlanMade(plan=ONE))
    world.put(asks())
    return world


def ended(world: World) -> Answer:
    answer = world.orders().answer
    assert answer is not None
    return answer


def test_a_requests_own_limit_runs_while_a_person_is_waited_for() -> None:
    world = in_a_hurry()
    assert world.orders().timers[0] == TimerOrder("deadline", at(1) + timedelta(seconds=60))
    world.fire()
    assert ended(world).reason == (
        "not finished within 60 s, waiting for a person to answer one (worker): what about one?"
    )


def test_a_requests_own_limit_does_not_begin_anew() -> None:
    world = in_a_hurry()
    world.command(approved(asks()))
    assert world.orders().deadline == at(1) + timedelta(seconds=60)
    assert world.orders().timers == (TimerOrder("deadline", at(1) + timedelta(seconds=60)),)
    world.fire("deadline-1")
    assert world.orders().answer is None
    world.fire()
    assert ended(world).reason == "not finished within 60 s, waiting for one (worker)"


def test_the_deployments_limit_does_not_end_a_run_that_waits_for_people_alone() -> None:
    world = parked(asks())
    world.fire()
    assert world.orders().parked
    assert [timer.name for timer in world.orders().timers] == [asks().id]


def test_the_deployments_limit_counts_anew_from_the_last_settled_question() -> None:
    world = parked(asks())
    world.command(approved(asks()))
    anew = at(4) + timedelta(seconds=900)
    assert world.orders().timers == (TimerOrder("deadline-1", anew),)
    assert world.orders().deadline == anew
    world.fire("deadline")
    assert world.orders().answer is None
    world.fire("deadline-1")
    assert ended(world).reason == (
        "not finished within 900 s of the last decision of a person, waiting for one (worker)"
    )


def test_a_command_that_settles_nothing_does_not_lengthen_the_run() -> None:
    world = parked(asks())
    world.command(Command(verb="approve", question="q-unknown"))
    world.command(approved(asks()))
    world.command(approved(asks()))
    assert world.orders().timers == (TimerOrder("deadline-1", at(5) + timedelta(seconds=900)),)


def test_the_deployments_limit_runs_while_something_else_is_waited_for_too() -> None:
    world = parked(asks(), plan=TWO)
    world.fire()
    assert ended(world).reason == (
        "not finished within 900 s, waiting for a person to answer one (worker): what about one?, other (worker)"
    )


def test_a_decision_lengthens_the_run_though_something_else_was_waited_for_too() -> None:
    world = parked(asks(), plan=TWO)
    world.command(approved(asks()))
    assert world.orders().timers == (TimerOrder("deadline-1", at(4) + timedelta(seconds=900)),)
    assert world.orders().deadline == at(4) + timedelta(seconds=900)


def test_the_limit_that_passed_counts_whatever_was_done_later() -> None:
    world = parked(asks(), plan=TWO)
    world.fire()
    before = world.orders()
    world.record(result("other"))  # now it would wait for people alone
    assert world.orders() == before


def test_a_parked_attempt_that_ends_without_its_answer_has_the_limit_begin_anew() -> None:
    world = parked(asks(), plan=TWO)
    world.record(result("other"))
    world.fire()
    assert world.orders().parked
    world.record(result("one"))
    assert world.orders().timers == (TimerOrder("deadline-1", at(6) + timedelta(seconds=900)),)


def test_a_task_that_waits_for_its_next_try_is_named() -> None:
    world = World.with_plan(ONE)
    world.record(result(failure=TaskFailure(kind="retryable", error="Busy", message="later")))
    world.fire()
    assert ended(world).reason == "not finished within 900 s, waiting for the next try at one (worker)"


def test_before_there_is_a_plan_it_is_the_plan_that_was_waited_for() -> None:
    world = World()
    world.ask()
    world.fire()
    assert ended(world).reason == "not finished within 900 s, waiting for a plan"
