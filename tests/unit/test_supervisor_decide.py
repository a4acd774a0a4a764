"""How each kind of run ends, and what is ordered on the way."""

from datetime import timedelta

import pytest
from pydantic import JsonValue

from stretto.shared.contracts.decision import PlanMade, RoleUnserved, RunRejected
from stretto.shared.contracts.plan import Plan, PlannedTask, Revision
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.supervisor.decide import Limits, Orders, TimerOrder, WaitingRole, decide
from stretto.supervisor.facts import ResultRecorded
from stretto.supervisor.playbooks import Playbooks
from stretto.supervisor.state import RunState, evolve
from tests.unit.supervisor_world import BEGIN, LIMITS, World, at, fold

DRAFT: dict[str, JsonValue] = {"answered": True, "claims": [{"text": "Yes.", "findings": ["d1"]}]}
FOUND: dict[str, JsonValue] = {
    "question": "what?",
    "findings": [{"id": "d1", "quote": "Yes.", "source": "a.md", "place": "Top"}],
}
APPROVE: dict[str, JsonValue] = {"verdict": "approve", "confidence": 1.0}
REVISE: dict[str, JsonValue] = {"verdict": "revise", "reasons": "too long"}
REJECT: dict[str, JsonValue] = {"verdict": "reject", "reasons": "all invented"}
OPEN: dict[str, JsonValue] = {"question": "Publish it?", "summary": "Two drafts were sent back."}


def brief() -> World:
    return World.with_plan(Playbooks.load().default.plan())


def give(world: World, task: str, output: dict[str, JsonValue]) -> None:
    """The due task `task` succeeds with this output."""
    (due,) = (one for one in world.orders().due if one.task == task)
    world.record(TaskResult(task=task, attempt=due.attempt, role=due.role, agent="a", output=output))


def fail(world: World, task: str, kind: str = "permanent", message: str = "it broke") -> None:
    (due,) = (one for one in world.orders().due if one.task == task)
    failure = TaskFailure.model_validate({"kind": kind, "error": "Oops", "message": message})
    world.record(TaskResult(task=task, attempt=due.attempt, role=due.role, agent="a", failure=failure))


def due(world: World) -> list[str]:
    return [one.task for one in world.orders().due]


def drafted() -> World:
    world = brief()
    give(world, "direct", FOUND)
    give(world, "context", FOUND)
    give(world, "draft", DRAFT)
    return world


def test_without_a_request_nothing_follows() -> None:
    assert decide(RunState(), BEGIN, LIMITS) == Orders()


def test_a_new_request_needs_a_plan_and_a_deadline() -> None:
    world = World()
    world.ask()
    deadline = at(1) + timedelta(seconds=900)
    assert world.orders() == Orders(needs_plan=True, deadline=deadline, timers=(TimerOrder("deadline", deadline),))


def test_the_requests_own_deadline_counts() -> None:
    world = World()
    world.ask(Request(text="what?", deadline_s=7))
    assert world.orders().timers[0].at == at(1) + timedelta(seconds=7)


def test_of_two_requests_the_first_is_the_run() -> None:
    world = World()
    world.ask(Request(text="first"))
    world.ask(Request(text="second"))
    assert fold(world.log[::-1]).request == world.log[0]


def test_brief_runs_researchers_side_by_side_then_writer_then_reviewer() -> None:
    world = brief()
    assert due(world) == ["direct", "context"]
    assert world.orders().due[0].input == {"request": "what?", "angle": "what answers the question directly"}
    give(world, "context", FOUND)
    assert due(world) == ["direct"]
    give(world, "direct", FOUND)
    assert due(world) == ["draft"]
    assert world.orders().due[0].input == {"request": "what?", "findings": [FOUND, FOUND]}
    give(world, "draft", DRAFT)
    assert due(world) == ["review"]
    give(world, "review", APPROVE)
    answer = world.orders().answer
    assert answer is not None
    assert (answer.state, answer.answered, answer.text) == ("completed", True, "Yes. [1]")
    assert [(report.task, report.state) for report in answer.tasks][-1] == ("escalate", "skipped")


def test_a_draft_that_is_sent_back_is_written_and_reviewed_again() -> None:
    world = drafted()
    give(world, "review", REVISE)
    assert due(world) == ["draft-r2"]
    assert world.orders().due[0].input == {
        "request": "what?",
        "findings": [FOUND, FOUND],
        "previous": DRAFT,
        "notes": REVISE,
    }
    better: dict[str, JsonValue] = {**DRAFT, "title": "Better"}
    give(world, "draft-r2", better)
    assert world.orders().due[0].task == "review-r2"
    assert world.orders().due[0].input["draft"] == better
    give(world, "review-r2", APPROVE)
    answer = world.orders().answer
    assert answer is not None
    assert answer.text == "Better\n\nYes. [1]"


def test_after_the_last_round_a_person_has_to_decide() -> None:
    world = drafted()
    give(world, "review", REVISE)
    for round_ in (2, 3):
        give(world, f"draft-r{round_}", DRAFT)
        give(world, f"review-r{round_}", REVISE)
    assert due(world) == ["escalate"]
    assert world.orders().due[0].input == {
        "request": "what?",
        "findings": [FOUND, FOUND],
        "previous": DRAFT,
        "notes": REVISE,
    }
    give(world, "escalate", OPEN)
    answer = world.orders().answer
    assert answer is not None
    assert (answer.state, answer.answered, answer.reason) == ("failed", False, "nobody has decided: Publish it?")
    assert answer.escalation is not None
    assert answer.review is not None
    assert answer.review.reasons == "too long"


def test_a_rejected_draft_is_not_written_again() -> None:
    world = drafted()
    give(world, "review", REJECT)
    assert due(world) == ["escalate"]


def test_a_rejected_draft_without_a_way_out_fails_the_run() -> None:
    tasks = (
        PlannedTask(id="draft", role="writer"),
        PlannedTask(id="review", role="reviewer", inputs={"draft": "draft"}, revision=Revision(task="draft")),
    )
    world = World.with_plan(Plan(playbook="p", tasks=tasks, answer="draft"))
    give(world, "draft", DRAFT)
    give(world, "review", REJECT)
    answer = world.orders().answer
    assert answer is not None
    assert (answer.state, answer.reason) == ("failed", "review rejected draft: all invented")


def test_what_follows_a_reviewed_task_waits_for_its_approval_and_gets_the_approved_version() -> None:
    tasks = (
        PlannedTask(id="draft", role="writer"),
        PlannedTask(id="review", role="reviewer", inputs={"draft": "draft"}, revision=Revision(task="draft")),
        PlannedTask(id="translate", role="translator", inputs={"text": "draft"}),
    )
    world = World.with_plan(Plan(playbook="p", tasks=tasks, answer="translate"))
    give(world, "draft", {"made": 1})
    assert due(world) == ["review"]
    give(world, "review", REVISE)
    give(world, "draft-r2", {"made": 2})
    give(world, "review-r2", APPROVE)
    assert due(world) == ["translate"]
    assert world.orders().due[0].input["text"] == {"made": 2}


def test_a_review_that_is_none_fails_the_run() -> None:
    world = drafted()
    give(world, "review", {"thumbs": "up"})
    answer = world.orders().answer
    assert answer is not None
    assert answer.reason == "task review (reviewer) reviews draft, but its output is no review"


def test_nothing_found_and_approved_is_completed_but_not_answered() -> None:
    world = brief()
    give(world, "direct", {"question": "what?", "findings": []})
    give(world, "context", {"question": "what?", "findings": []})
    give(world, "draft", {"answered": False, "claims": [], "gap": "No document is about it."})
    give(world, "review", APPROVE)
    answer = world.orders().answer
    assert answer is not None
    assert (answer.state, answer.answered, answer.confidence) == ("completed", False, None)
    assert answer.text == "Not found in the documents. No document is about it."


def test_a_retryable_failure_is_tried_again_until_its_attempts_are_used_up() -> None:
    world = brief()
    fail(world, "direct", "retryable")
    assert due(world) == ["context"]
    world.fire("retry-direct-2")
    assert [(one.task, one.attempt) for one in world.orders().due] == [("direct", 2), ("context", 1)]
    fail(world, "direct", "retryable", "still down")
    answer = world.orders().answer
    assert answer is not None
    assert answer.state == "failed"
    assert answer.reason == "task direct (researcher) failed 2 times, the last time with: still down"
    assert answer.tasks[0].attempts == 2


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("permanent", "task direct (researcher) failed: no key"),
        ("misconfigured", "task direct (researcher) cannot run until something is changed: no key"),
    ],
)
def test_other_failures_are_final_at_once(kind: str, reason: str) -> None:
    world = brief()
    fail(world, "direct", kind, "no key")
    answer = world.orders().answer
    assert answer is not None
    assert answer.reason == reason


def test_a_field_that_an_output_lacks_fails_the_run() -> None:
    tasks = (
        PlannedTask(id="one", role="worker"),
        PlannedTask(id="two", role="worker", inputs={"page": "one.page"}),
    )
    world = World.with_plan(Plan(playbook="p", tasks=tasks, answer="two"))
    give(world, "one", {"text": "no pages here"})
    answer = world.orders().answer
    assert answer is not None
    assert answer.reason == (
        "task two (worker) cannot start: input 'page' is missing: the output of one has no field 'page'"
    )


def test_of_two_missing_fields_the_one_that_was_known_first_counts() -> None:
    tasks = (
        PlannedTask(id="one", role="worker"),
        PlannedTask(id="two", role="worker"),
        PlannedTask(id="both", role="worker", inputs={"a": "two.x", "b": "one.x"}),
    )
    world = World.with_plan(Plan(playbook="p", tasks=tasks, answer="both"))
    late = TaskResult(task="one", attempt=1, role="worker", agent="a", output={})
    give(world, "two", {})
    ended = world.orders()
    world.record(late)
    assert world.orders() == ended
    assert ended.answer is not None


def test_fields_and_params_of_the_request_are_handed_over() -> None:
    task = PlannedTask(
        id="one",
        role="worker",
        params={"style": "short"},
        inputs={"language": "request.params.language", "q": "request"},
    )
    world = World()
    world.ask(Request(text="what?", params={"language": "de"}))
    world.commit(PlanMade(plan=Plan(playbook="p", tasks=(task,), answer="one")))
    assert world.orders().due[0].input == {"request": "what?", "style": "short", "language": "de", "q": "what?"}


def test_a_result_of_another_role_does_not_count() -> None:
    world = drafted()
    world.record(TaskResult(task="review", attempt=1, role="writer", agent="w", output=APPROVE))
    assert due(world) == ["review"]
    give(world, "review", REVISE)
    assert due(world) == ["draft-r2"]


def test_cancelling_before_the_last_result_cancels() -> None:
    world = drafted()
    world.cancel("never mind")
    world.record(TaskResult(task="review", attempt=1, role="reviewer", agent="a", output=APPROVE))
    answer = world.orders().answer
    assert answer is not None
    assert (answer.state, answer.reason) == ("cancelled", "cancelled by ada: never mind")
    assert [report.state for report in answer.tasks] == ["succeeded"] * 3 + ["skipped"] * 2


def test_cancelling_after_the_last_result_is_too_late() -> None:
    world = drafted()
    give(world, "review", APPROVE)
    world.cancel()
    answer = world.orders().answer
    assert answer is not None
    assert answer.state == "completed"


def test_a_run_can_be_cancelled_before_it_has_a_plan() -> None:
    world = World()
    world.ask()
    world.cancel()
    answer = world.orders().answer
    assert answer is not None
    assert (answer.state, answer.reason, answer.tasks) == ("cancelled", "cancelled by ada", ())


def test_the_deadline_says_what_was_waited_for() -> None:
    world = brief()
    give(world, "direct", FOUND)
    world.fire()
    answer = world.orders().answer
    assert answer is not None
    assert (answer.state, answer.reason) == ("failed", "not finished within 900 s, waiting for context (researcher)")


def test_a_timer_of_another_name_ends_nothing() -> None:
    world = brief()
    world.fire("role-writer")
    assert world.orders().answer is None


def test_a_rejected_request_is_over() -> None:
    world = World()
    world.ask()
    world.commit(RunRejected(reason="there is no playbook 'x'"))
    answer = world.orders().answer
    assert answer is not None
    assert (answer.state, answer.reason) == ("rejected", "there is no playbook 'x'")


def test_a_role_that_nobody_serves_is_waited_for_and_then_given_up() -> None:
    world = brief()
    limits = Limits(role_wait_s=60)
    since = at(2)
    until = since + timedelta(seconds=60)
    early = decide(world.state, since, limits, served={"writer"})
    assert early.waiting == (WaitingRole("researcher", since, until),)
    assert early.commit == ()
    late = decide(world.state, until, limits, served={"writer"})
    assert late.commit == (RoleUnserved(role="researcher", waited_s=60),)
    assert decide(world.state, until, limits, served={"researcher"}).commit == ()
    world.commit(*late.commit)
    answer = world.orders().answer
    assert answer is not None
    assert answer.reason == (
        "nobody serves the role researcher (waited 60 s): start one with `stretto agent run researcher`"
    )


def test_a_role_that_was_served_a_moment_ago_is_waited_for_from_then() -> None:
    world = brief()
    gone = at(2) + timedelta(hours=1)
    orders = decide(world.state, gone, LIMITS, served=(), absent_since={"researcher": gone})
    assert orders.commit == ()
    assert orders.waiting == (WaitingRole("researcher", gone, gone + timedelta(seconds=60)),)


def test_an_answered_run_orders_nothing() -> None:
    world = drafted()
    give(world, "review", APPROVE)
    answer = world.orders().answer
    assert answer is not None
    world.answer(answer)
    world.answer(answer.model_copy(update={"text": "a second one"}))
    assert world.orders() == Orders()
    assert world.state.answered is not None
    assert world.state.answered.answer == answer


def test_a_plan_in_the_log_that_cannot_be_followed_fails_the_run() -> None:
    tasks = (
        PlannedTask(id="one", role="worker", inputs={"a": "two"}),
        PlannedTask(id="two", role="worker", inputs={"a": "one"}),
    )
    answer = World.with_plan(Plan(playbook="p", tasks=tasks, answer="one")).orders().answer
    assert answer is not None
    assert answer.reason == "the plan cannot be followed: tasks wait for each other: one -> two -> one"


def test_a_thousand_tasks_are_folded_and_decided_without_growing_slow() -> None:
    """Sizes, not seconds: every result is one step, however many there are."""
    tasks = tuple(
        PlannedTask(id=f"t{n}", role="worker", inputs={"parts": tuple(f"t{m}" for m in range(max(0, n - 3), n))})
        for n in range(1_000)
    )
    world = World.with_plan(Plan(playbook="wide", tasks=tasks, answer="t999"))
    state = world.state
    for seq in range(1_000):
        result = TaskResult(task=f"t{seq}", attempt=1, role="worker", agent="a", output={"n": seq})
        state = evolve(state, ResultRecorded(seq + 3, at(seq), result))
    answer = decide(state, at(0), LIMITS).answer
    assert answer is not None
    assert (answer.state, len(answer.tasks)) == ("completed", 1_000)
