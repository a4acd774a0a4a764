"""What the command line shows: the plan as it works, the answer, and never an escape sequence from a document."""

from datetime import UTC, datetime

import pytest

from stretto.bus.address import shown
from stretto.bus.message import Message
from stretto.cli.answer_view import answer_data, answer_text, exit_code_of, outcome
from stretto.cli.plan_view import PlanView
from stretto.cli.terminal import printable
from stretto.shared.contracts.answer import Answer, Citation, RunEnd, TaskReport
from stretto.shared.contracts.decision import Decision, PlanMade
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.shared.requester import Event

PLAN = Plan(
    playbook="brief",
    tasks=(PlannedTask(id="find", role="researcher"), PlannedTask(id="draft", role="writer")),
    answer="draft",
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def event(message: Message) -> Event:
    return Event(message, "somebody", datetime.now(UTC))


def planned() -> tuple[PlanView, Clock]:
    clock = Clock()
    view = PlanView(clock=clock)
    view.take(event(Decision(events=(PlanMade(plan=PLAN),))))
    return view, clock


def test_a_task_is_followed_from_the_plan_to_its_end() -> None:
    view, clock = planned()
    assert [(line.task, line.state, seconds) for line, seconds in view.rows()] == [
        ("find", "planned", None),
        ("draft", "planned", None),
    ]

    view.take(event(Progress(kind="started", role="researcher", task="find", agent="r-1", text="begins")))
    clock.now_s += 2.5
    said = view.take(event(Progress(kind="note", role="researcher", task="find", agent="r-1", text="reading")))
    line, seconds = next(view.rows())
    assert said == "find (r-1): reading"
    assert (line.agent, line.state, line.note, seconds) == ("r-1", "working", "reading", 2.5)

    view.take(event(TaskResult(task="find", attempt=1, role="researcher", agent="r-1", output={}, seconds=3.0)))
    view.take(event(Progress(kind="note", role="researcher", task="find", agent="r-1", text="late")))
    line, seconds = next(view.rows())
    assert (line.state, line.note, seconds) == ("done", "reading", 3.0)


def test_a_role_that_nobody_serves_is_seen_to_be_waited_for() -> None:
    view, _ = planned()
    view.take(event(Progress(kind="waiting", role="writer", text="nobody serves writer")))

    assert {line.task: line.state for line, _ in view.rows()} == {"find": "planned", "draft": "waiting"}
    assert view.headline == "nobody serves writer"


def test_a_failed_attempt_says_why() -> None:
    view, _ = planned()
    failure = TaskFailure(kind="retryable", error="TimeoutError", message="not finished within its time")
    said = view.take(event(TaskResult(task="find", attempt=1, role="researcher", agent="r-1", failure=failure)))

    assert said == "find (r-1): attempt 1 failed: not finished within its time"
    assert next(view.rows())[0].state == "failed"


@pytest.mark.parametrize(("state", "shown"), [("completed", "not needed"), ("cancelled", "not done")])
def test_what_was_skipped_is_told_from_what_was_not_needed(state: RunEnd, shown: str) -> None:
    view, _ = planned()
    view.take(event(Answer(state=state, tasks=(TaskReport(task="draft", role="writer", state="skipped"),))))

    assert view.tasks["draft"].state == shown


def test_a_task_that_the_plan_did_not_name_is_shown_too() -> None:
    view, _ = planned()
    view.take(event(Progress(kind="started", role="writer", task="draft-2", agent="w-1")))

    assert list(view.tasks) == ["find", "draft", "draft-2"]


def test_the_answer_stands_before_its_sources() -> None:
    answer = Answer(
        state="completed",
        answered=True,
        text="Paid soon. [1]",
        citations=(Citation(number=1, source="refunds.md", place="Deadline, line 5", quote="Paid\n  soon."),),
    )

    assert answer_text(answer) == 'Paid soon. [1]\n\nSources:\n[1] refunds.md, Deadline, line 5\n    "Paid soon."'
    assert answer_data("r1", answer)["citations"] == [
        {"number": 1, "source": "refunds.md", "place": "Deadline, line 5", "quote": "Paid\n  soon."}
    ]


def test_an_escalation_holds_what_a_person_needs_to_decide() -> None:
    escalation = Escalation(question="Which?", summary="Two differ.", open_points=("a",), options=("b", "c"))
    answer = Answer(state="needs_human", escalation=escalation)

    assert answer_text(answer) == "Which?\n\nTwo differ.\n\nOpen:\n- a\n\nYou can:\n- b\n- c"


@pytest.mark.parametrize(
    ("state", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1), ("rejected", 1), ("needs_human", 4)]
)
def test_every_end_has_its_exit_code(state: RunEnd, code: int) -> None:
    assert exit_code_of(Answer(state=state)) == code


def test_the_outcome_does_not_say_the_same_twice() -> None:
    assert outcome(Answer(state="cancelled", reason="cancelled by local")) == "cancelled by local"
    assert outcome(Answer(state="failed", reason="no writer")) == "failed: no writer"
    assert outcome(Answer(state="completed")) == "completed"


@pytest.mark.parametrize("hostile", ["\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "a\rb", "\u202egnp.exe"])
def test_documents_do_not_speak_to_the_terminal(hostile: str) -> None:
    answer = Answer(
        state="completed", text=hostile, citations=(Citation(number=1, source=hostile, place="", quote=hostile),)
    )

    assert not set(answer_text(answer)) & set("\x1b\x07\x9b\r\u202e")
    assert printable("kept:\tä\n") == "kept:\tä\n"


def test_an_address_is_shown_without_its_password() -> None:
    assert shown("nats://me:secret@one:4222,nats://two:4222") == "nats://one:4222,nats://two:4222"
