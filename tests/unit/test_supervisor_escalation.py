"""Escalation: what the reviewer does not approve comes before a person, and the run goes on from what they decide."""

import pytest
from pydantic import JsonValue

from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.task import TaskFailure, TaskResult
from tests.unit.supervisor_world import World, question
from tests.unit.test_supervisor_decide import APPROVE, DRAFT, FOUND, REJECT, REVISE, drafted, due, give

BETTER: dict[str, JsonValue] = {**DRAFT, "title": "Better"}


def decided(decision: str, words: str = "") -> dict[str, JsonValue]:
    return {
        "question": "Publish it?",
        "summary": "Two drafts were sent back.",
        "decision": decision,
        "words": words,
        "decided_by": "grace",
    }


def escalated() -> World:
    world = drafted()
    give(world, "review", REJECT)
    return world


def ended(world: World) -> Answer:
    answer = world.orders().answer
    assert answer is not None
    return answer


def reported(answer: Answer) -> list[str]:
    return [report.task for report in answer.tasks]


def test_an_accepted_draft_is_the_answer() -> None:
    world = escalated()
    give(world, "escalate", decided("accept"))
    answer = ended(world)
    assert (answer.state, answer.answered, answer.text) == ("completed", True, "Yes. [1]")
    assert answer.escalation is not None
    assert (answer.escalation.decision, answer.escalation.decided_by) == ("accept", "grace")
    assert answer.review is not None
    assert answer.review.verdict == "reject"


def test_a_person_who_accepts_is_surer_than_the_reviewer_who_does_not_approve() -> None:
    def confidence(review: dict[str, JsonValue]) -> float:
        world = drafted()
        give(world, "review", {**review, "confidence": 0.1})
        if review is not APPROVE:
            give(world, "escalate", decided("accept"))
        found = ended(world).confidence
        assert found is not None
        return found

    assert confidence(REJECT) > confidence(APPROVE)


def test_a_persons_words_are_the_answer() -> None:
    world = escalated()
    give(world, "escalate", decided("replace", "Nobody knows."))
    answer = ended(world)
    assert (answer.state, answer.answered, answer.text) == ("completed", True, "Nobody knows.")
    assert (answer.output, answer.confidence, answer.citations) == ({"text": "Nobody knows."}, 1.0, ())


def test_what_a_person_refuses_is_no_answer() -> None:
    world = escalated()
    give(world, "escalate", decided("refuse"))
    answer = ended(world)
    assert (answer.state, answer.answered, answer.reason) == ("failed", False, "refused by grace: Publish it?")
    assert answer.escalation is not None


def test_a_note_sends_the_draft_back_once_more() -> None:
    world = escalated()
    give(world, "escalate", decided("revise", "Name the price."))
    (written,) = world.orders().due
    assert written.task == "draft-r2"
    assert written.input["previous"] == DRAFT
    assert written.input["notes"] == {
        "verdict": "revise",
        "reasons": "Name the price.",
        "notes": [{"claim": None, "rule": "completeness", "problem": "Name the price."}],
        "checks": [],
        "confidence": 1.0,
    }
    give(world, "draft-r2", BETTER)
    assert due(world) == ["review-r2"]
    give(world, "review-r2", APPROVE)
    answer = ended(world)
    assert answer.text == "Better\n\nYes. [1]"
    assert reported(answer) == ["direct", "context", "draft", "review", "escalate", "draft-r2", "review-r2"]


def test_what_the_reviewer_still_does_not_approve_comes_before_a_person_again() -> None:
    world = drafted()
    give(world, "review", REVISE)
    give(world, "draft-r2", DRAFT)
    give(world, "review-r2", REVISE)
    give(world, "draft-r3", DRAFT)
    give(world, "review-r3", REVISE)
    give(world, "escalate", decided("revise", "Shorter."))
    give(world, "draft-r4", BETTER)
    give(world, "review-r4", REVISE)
    (asked,) = world.orders().due
    assert asked.task == "escalate-r2"
    assert asked.input == {"request": "what?", "findings": [FOUND, FOUND], "previous": BETTER, "notes": REVISE}
    give(world, "escalate-r2", decided("accept"))
    assert ended(world).text == "Better\n\nYes. [1]"


def test_a_person_may_send_it_back_eight_times() -> None:
    world = escalated()
    give(world, "escalate", decided("revise", "again"))
    for round_ in range(2, 10):
        give(world, f"draft-r{round_}", DRAFT)
        give(world, f"review-r{round_}", REVISE)
        give(world, f"escalate-r{round_}", decided("revise", "again"))
    assert ended(world).reason == "grace asked for changes that this run cannot make any more: again"


def test_once_a_person_was_asked_each_further_round_needs_their_word() -> None:
    world = escalated()
    give(world, "escalate", decided("revise", "again"))
    give(world, "draft-r2", DRAFT)
    give(world, "review-r2", REVISE)
    assert due(world) == ["escalate-r2"]


def test_an_escalation_that_asks_a_person_parks_the_run() -> None:
    world = escalated()
    asked = question("escalate", 1, "escalation", 0)
    world.put(asked)
    assert world.orders().parked
    world.fire(asked.id)
    failure = TaskFailure(kind="permanent", error="QuestionExpired", message="nobody decided")
    world.record(TaskResult(task="escalate", attempt=1, role="escalation", agent="a", failure=failure))
    answer = ended(world)
    assert answer.state == "failed"
    assert "nobody decided within 1 hour: what about escalate?" in answer.reason


def test_an_output_that_is_no_escalation_fails_the_run() -> None:
    world = escalated()
    give(world, "escalate", {"thumbs": "up"})
    assert ended(world).reason == "task escalate (escalation): its output is no escalation"


def test_what_follows_the_reviewed_task_gets_what_a_person_decided() -> None:
    world = World.with_plan(_translated("escalation"))
    give(world, "draft", {"made": 1})
    give(world, "review", REJECT)
    assert due(world) == ["person"]
    give(world, "person", decided("replace", "Guten Tag."))
    assert world.orders().due[0].input["text"] == {"text": "Guten Tag."}


def test_another_role_than_escalation_rescues_by_its_own_output() -> None:
    world = World.with_plan(_translated("senior"))
    give(world, "draft", {"made": 1})
    give(world, "review", REJECT)
    give(world, "person", {"made": 2})
    assert world.orders().due[0].input["text"] == {"made": 2}


def _translated(role: str) -> Plan:
    tasks = (
        {"id": "draft", "role": "writer"},
        {
            "id": "review",
            "role": "reviewer",
            "inputs": {"draft": "draft"},
            "revision": {"task": "draft", "then": "person"},
        },
        {"id": "person", "role": role},
        {"id": "translate", "role": "translator", "inputs": {"text": "draft"}},
    )
    return Plan.model_validate({"playbook": "p", "tasks": tasks, "answer": "translate"})


# As a task of the plan that rescues nothing


def asked_midway(**inputs: str) -> World:
    tasks = (
        PlannedTask(id="one", role="worker"),
        PlannedTask(id="ask", role="escalation", inputs=inputs),
        PlannedTask(id="two", role="worker", inputs={"given": "ask"}),
    )
    world = World.with_plan(Plan(playbook="p", tasks=tasks, answer="two"))
    give(world, "one", {"made": 1})
    return world


def test_what_it_was_given_goes_on_when_a_person_accepts_it() -> None:
    world = asked_midway(previous="one")
    give(world, "ask", decided("accept"))
    assert world.orders().due[0].input["given"] == {"made": 1}


def test_what_it_made_goes_on_when_it_was_given_nothing() -> None:
    world = asked_midway(about="one")
    give(world, "ask", decided("accept"))
    assert world.orders().due[0].input["given"] == decided("accept")


def test_a_persons_words_go_on() -> None:
    world = asked_midway(previous="one")
    give(world, "ask", decided("replace", "Take the train."))
    assert world.orders().due[0].input["given"] == {
        **decided("replace", "Take the train."),
        "text": "Take the train.",
    }


@pytest.mark.parametrize(
    ("decision", "words", "reason"),
    [
        ("refuse", "", "refused by grace: Publish it?"),
        ("refuse", "never", "refused by grace (never): Publish it?"),
        ("revise", "shorter", "grace asked for changes that this run cannot make any more: shorter"),
        ("open", "", "nobody has decided: Publish it?"),
    ],
)
def test_the_run_does_not_go_on_without_a_persons_consent(decision: str, words: str, reason: str) -> None:
    world = asked_midway(previous="one")
    give(world, "ask", decided(decision, words))
    assert ended(world).reason == reason


def test_it_may_be_the_answer_itself() -> None:
    tasks = (PlannedTask(id="ask", role="escalation"),)
    world = World.with_plan(Plan(playbook="p", tasks=tasks, answer="ask"))
    give(world, "ask", decided("replace", "It is four."))
    answer = ended(world)
    assert (answer.text, answer.confidence, answer.answered) == ("It is four.", 1.0, True)
