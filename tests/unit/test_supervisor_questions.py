"""Questions to people: an attempt that asks is parked, each question is settled once, and then the attempt goes on."""

from datetime import timedelta

import pytest

from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import PlanningAsked
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.supervisor.decide import DueTask, Outstanding, TimerOrder
from tests.unit.supervisor_world import World, at, question

ONE = Plan(playbook="p", tasks=(PlannedTask(id="one", role="worker"),), answer="one")
TWO = Plan(
    playbook="p",
    tasks=(
        PlannedTask(id="one", role="worker"),
        PlannedTask(id="other", role="worker"),
        PlannedTask(id="both", role="worker", inputs={"parts": ("one", "other")}),
    ),
    answer="both",
)


def asks(task: str = "one", position: int = 0, attempt: int = 1) -> Question:
    return question(task, attempt, "worker", position)


def asks_for_approval(position: int = 0) -> Question:
    return question("one", 1, "worker", position, kind="approval")


def answered(asked: Question, text: str = "Yes.") -> Command:
    return Command(verb="answer", question=asked.id, text=text)


def approved(asked: Question) -> Command:
    return Command(verb="approve", question=asked.id)


def parked(*asked: Question, plan: Plan = ONE) -> World:
    world = World.with_plan(plan)
    for one in asked:
        world.put(one)
    return world


def the_due(world: World) -> DueTask:
    (due,) = world.orders().due
    return due


def result(task: str = "one", attempt: int = 1, failure: TaskFailure | None = None) -> TaskResult:
    return TaskResult(
        task=task, attempt=attempt, role="worker", agent="a", output=None if failure else {"n": 1}, failure=failure
    )


def test_an_attempt_that_asks_is_parked_until_its_question_expires() -> None:
    world = parked(asks())
    orders = world.orders()
    assert (orders.due, orders.parked, orders.answer) == ((), True, None)
    assert orders.timers == (TimerOrder(asks().id, at(3) + timedelta(hours=1)),)
    assert [one.question for one in world.state.open_questions] == [asks()]


def test_once_it_is_settled_the_attempt_goes_on_with_what_was_decided() -> None:
    world = parked(asks())
    world.command(answered(asks(), "In words."), "grace")
    orders = world.orders()
    assert not orders.parked
    (settled,) = the_due(world).settled
    assert the_due(world).attempt == 1
    assert (settled.question, settled.position, settled.digest) == (asks().id, 0, "d0")
    assert (settled.outcome, settled.text, settled.principal, settled.at) == ("answered", "In words.", "grace", at(4))
    assert world.state.open_questions == ()


@pytest.mark.parametrize(("verb", "outcome"), [("approve", "approved"), ("reject", "rejected")])
def test_an_approval_takes_a_note(verb: str, outcome: str) -> None:
    world = parked(asks_for_approval())
    world.command(Command.model_validate({"verb": verb, "question": asks_for_approval().id, "text": "since"}))
    assert [(one.outcome, one.text) for one in the_due(world).settled] == [(outcome, "since")]


def test_an_approval_is_not_settled_by_words() -> None:
    world = parked(asks_for_approval())
    world.command(answered(asks_for_approval()))
    assert world.orders().parked
    world.command(approved(asks_for_approval()))
    assert [one.outcome for one in the_due(world).settled] == ["approved"]


def test_all_that_an_attempt_asked_must_be_settled() -> None:
    world = parked(asks(position=4), asks(position=2))
    world.command(approved(asks(position=4)))
    orders = world.orders()
    assert (orders.parked, [timer.name for timer in orders.timers]) == (True, [asks(position=2).id])
    world.command(approved(asks(position=2)))
    assert [one.position for one in the_due(world).settled] == [2, 4]


def test_an_attempt_may_ask_again_when_it_went_on() -> None:
    world = parked(asks())
    world.command(approved(asks()))
    world.put(asks(position=1))
    assert world.orders().parked
    world.command(approved(asks(position=1)))
    assert [one.question for one in the_due(world).settled] == [asks().id, asks(position=1).id]


def test_of_two_decisions_the_first_counts() -> None:
    world = parked(asks())
    world.command(answered(asks(), "first"), "ada")
    world.command(answered(asks(), "second"), "grace")
    world.fire(asks().id)
    assert [one.text for one in the_due(world).settled] == ["first"]


def test_a_decision_after_the_expiry_counts_for_nothing() -> None:
    world = parked(asks())
    world.fire(asks().id)
    world.command(answered(asks()))
    (settled,) = the_due(world).settled
    assert (settled.outcome, settled.text, settled.principal, settled.at) == ("expired", "", "", at(4))


def test_a_decision_on_a_question_that_nobody_asked_counts_for_nothing() -> None:
    world = World.with_plan(ONE)
    world.command(answered(asks()))
    world.put(asks())
    assert world.orders().parked


def test_of_two_questions_at_one_place_the_first_counts() -> None:
    world = parked(asks(), asks().model_copy(update={"text": "something else?", "digest": "other"}))
    assert [one.question.text for one in world.state.open_questions] == ["what about one?"]


def test_a_question_is_moot_when_its_attempt_has_ended() -> None:
    world = parked(asks())
    world.record(result())
    world.command(answered(asks()))
    answer = world.orders().answer
    assert answer is not None
    assert answer.state == "completed"


def test_the_next_attempt_begins_without_questions() -> None:
    world = parked(asks())
    world.command(approved(asks()))
    world.record(result(failure=TaskFailure(kind="retryable", error="Busy", message="later")))
    world.fire("retry-one-2")
    assert (the_due(world).attempt, the_due(world).settled) == (2, ())


def test_a_run_is_not_parked_while_another_task_is_due() -> None:
    world = parked(asks(), plan=TWO)
    orders = world.orders()
    assert (orders.parked, [due.task for due in orders.due]) == (False, ["other"])
    assert [timer.name for timer in orders.timers] == ["deadline", asks().id]
    world.record(result("other"))
    assert world.orders().parked


def test_what_nobody_decided_fails_the_run_with_what_was_asked_and_how_long() -> None:
    world = parked(asks())
    world.fire(asks().id)
    world.record(result(failure=TaskFailure(kind="permanent", error="QuestionExpired", message="nobody decided")))
    answer = world.orders().answer
    assert answer is not None
    assert answer.reason == "task one (worker) asked a person, and nobody decided within 1 hour: what about one?"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.5, "0.5 s"), (90, "1.5 minutes"), (86_400, "1 day"), (7 * 86_400, "7 days")]
)
def test_the_time_is_told_in_the_unit_that_fits(seconds: float, told: str) -> None:
    asked = asks().model_copy(update={"expires_in_s": seconds})
    world = parked(asked)
    world.fire(asked.id)
    world.record(result(failure=TaskFailure(kind="permanent", error="QuestionExpired", message="nobody decided")))
    answer = world.orders().answer
    assert answer is not None
    assert f"nobody decided within {told}:" in answer.reason


def test_a_parked_attempt_of_a_cancelled_run_is_outstanding() -> None:
    world = parked(asks(), plan=TWO)
    world.cancel()
    orders = world.orders()
    assert orders.outstanding == (Outstanding("worker", "one", 1), Outstanding("worker", "other", 1))
    assert orders.answer is not None
    assert world.state.open_questions == ()
    world.answer(orders.answer)
    assert world.orders().outstanding == orders.outstanding


def test_the_planner_may_ask_too() -> None:
    world = World()
    world.ask()
    world.commit(PlanningAsked(roles=(), fallback=ONE))
    asked = question("plan", 1, "planner", 0)
    world.put(asked)
    assert world.orders().parked
    world.command(answered(asked, "Two steps."))
    assert [one.text for one in the_due(world).settled] == ["Two steps."]
