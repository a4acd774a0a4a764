"""What the command line shows: the plan as it works, questions, the answer, and never an escape sequence from a document."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from rich.console import Console

from stretto.bus.address import shown
from stretto.bus.message import Message
from stretto.cli.answer_view import answer_data, answer_text, decided, exit_code_of, outcome, so_far
from stretto.cli.moments import ahead, since, span
from stretto.cli.plan_view import PlanView
from stretto.cli.question_view import how_it_stands, list_row, question_data, question_text, ways_to_settle
from stretto.cli.terminal import printable
from stretto.shared.contracts.answer import Answer, Citation, RunEnd, TaskReport
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, PlanMade
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.question import Question, Settled
from stretto.shared.contracts.retry import RetryPolicy
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.shared.contracts.timer import TimerFired
from stretto.shared.contracts.usage import Usage
from stretto.shared.questions import AskedQuestion
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


def state_of(view: PlanView, task: str) -> str:
    return view.tasks[task].state


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


def asked(**fields: Any) -> Question:
    defaults = {"id": "q-1", "task": "draft", "attempt": 1, "role": "writer", "position": 0, "digest": "d"}
    return Question(**{**defaults, "text": "Blue or green?", **fields})


def test_a_task_that_asks_a_person_waits_until_somebody_has_decided() -> None:
    view, _ = planned()
    said = view.take(event(asked(text="Blue\nor \x1b[1mgreen?")))
    assert said == "draft asks a person (q-1): Blue or [1mgreen?"
    assert (state_of(view, "draft"), view.tasks["draft"].note) == ("asks you", "Blue or [1mgreen?")

    said = view.take(event(Command(verb="answer", question="q-1", text="Blue.")))
    assert said == "draft: q-1: somebody says answer: Blue."
    assert state_of(view, "draft") == "planned"
    assert view.take(event(Command(verb="reject", question="q-1"))) is None, "it was decided before"
    view.take(event(Progress(kind="started", role="writer", task="draft", agent="w-2")))
    assert state_of(view, "draft") == "working"


def test_a_question_that_expires_says_that_nobody_decided() -> None:
    view, _ = planned()
    view.take(event(asked()))

    assert view.take(event(TimerFired(name="deadline"))) is None
    assert view.take(event(TimerFired(name="q-1"))) == "draft: q-1: nobody decided in time"


def test_a_failed_attempt_that_is_tried_again_says_when() -> None:
    clock = Clock()
    view = PlanView(clock=clock)
    policy = RetryPolicy(tries=2, delay_s=4.0, jitter=0.0)
    view.take(event(Decision(events=(PlanMade(plan=PLAN, retries={"default": policy}),))))
    failure = TaskFailure(kind="retryable", error="ModelUnavailable", message="no answer")

    said = view.take(event(TaskResult(task="draft-r2", attempt=1, role="writer", agent="w-1", failure=failure)))
    assert said == "draft-r2 (w-1): attempt 1 failed: no answer: next try in 4.0 s"
    clock.now_s += 1
    table = io.StringIO()
    Console(file=table, width=120).print(view)
    assert "delayed" in table.getvalue()
    assert "next try in 3 s: no answer" in table.getvalue()
    view.take(event(Progress(kind="started", role="writer", task="draft-r2", agent="w-2", attempt=2)))
    assert state_of(view, "draft-r2") == "working"

    said = view.take(event(TaskResult(task="draft-r2", attempt=2, role="writer", agent="w-2", failure=failure)))
    assert said == "draft-r2 (w-2): attempt 2 failed: no answer"
    assert state_of(view, "draft-r2") == "failed"


NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def waiting(**fields: Any) -> AskedQuestion:
    question = asked(summary="Two differ.", points=("a",), options=("b", "c"), expires_in_s=3 * 86_400)
    return AskedQuestion("run-1", question, "writer-1", 7, NOW - timedelta(minutes=5), **fields)


def test_a_question_holds_what_a_person_needs_to_decide() -> None:
    assert question_text(waiting()) == "Blue or green?\n\nTwo differ.\n\nOpen:\n- a\n\nYou can:\n- b\n- c"
    assert list_row(waiting(), NOW)[:4] == ("q-1", "5 min ago", "in 2 d 23 h", "run-1")
    assert ways_to_settle(waiting(), tenant="acme") == [
        "stretto inbox approve q-1 --tenant acme",
        'stretto inbox answer q-1 "YOUR ANSWER" --tenant acme',
        'stretto inbox reject q-1 --note "WHAT TO CHANGE" --tenant acme',
    ]


def test_of_a_draft_it_is_said_what_each_decision_means() -> None:
    ways = ways_to_settle(replace(waiting(), question=asked(role="escalation")))

    assert [way.partition("  # ")[2] for way in ways] == [
        "it stands as it is",
        "your words take its place",
        "it is revised; without a note, refused",
    ]
    assert len({way.index("#") for way in ways}) == 1


def test_an_approval_offers_no_words() -> None:
    approval = replace(waiting(), question=asked(kind="approval"))

    assert [way.split()[2] for way in ways_to_settle(approval)] == ["approve", "reject"]


@pytest.mark.parametrize(
    ("fields", "state", "said"),
    [
        ({}, "open", "open until .* \\(in 2 d 23 h\\)"),
        ({"settled": "approved"}, "approved", "approved by ann at .*: go"),
        ({"settled": "expired"}, "expired", "expired at .*: nobody had decided by then"),
        ({"ended": "cancelled"}, "moot", "not settled: the run is over \\(cancelled\\)"),
        ({"moot": True}, "moot", "not settled: task draft has gone on without"),
    ],
)
def test_how_a_question_stands_is_said_in_a_line(fields: dict[str, Any], state: str, said: str) -> None:
    if "settled" in fields:
        expired = fields["settled"] == "expired"
        by = {} if expired else {"text": "go", "principal": "ann"}
        fields = {"settled": Settled(question="q-1", position=0, digest="d", outcome=fields["settled"], at=NOW, **by)}
    one = waiting(**fields)

    assert re.fullmatch(said, how_it_stands(one, NOW))
    assert question_data(one)["state"] == state


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (95, "1 min 35 s"),
        (725, "12 min"),
        (7_199, "1 h 59 min"),
        (86_400 * 6.96, "6 d 23 h"),
        (86_400 * 89.5, "89 d"),
        (-3, "0 s"),
    ],
)
def test_a_span_is_said_as_exactly_as_people_need_it(seconds: float, shown: str) -> None:
    assert span(seconds) == shown
    assert since(NOW - timedelta(seconds=seconds), NOW) == f"{shown} ago"
    assert ahead(NOW + timedelta(seconds=seconds), NOW) == (f"in {shown}" if seconds > 0 else "now")


def test_a_failed_attempt_says_why() -> None:
    view, _ = planned()
    failure = TaskFailure(kind="permanent", error="CannotDo", message="not finished within its time")
    said = view.take(event(TaskResult(task="find", attempt=1, role="researcher", agent="r-1", failure=failure)))

    assert said == "find (r-1): attempt 1 failed: not finished within its time"
    assert next(view.rows())[0].state == "failed"


@pytest.mark.parametrize(("state", "shown"), [("completed", "not needed"), ("cancelled", "not done")])
def test_what_was_skipped_is_told_from_what_was_not_needed(state: RunEnd, shown: str) -> None:
    view, _ = planned()
    view.take(event(Answer(state=state, tasks=(TaskReport(task="draft", role="writer", state="skipped"),))))

    assert state_of(view, "draft") == shown


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


def test_what_nobody_decided_is_shown_in_place_of_an_answer() -> None:
    escalation = Escalation(question="Which?", summary="Two differ.", open_points=("a",), options=("b", "c"))
    answer = Answer(state="failed", escalation=escalation)

    assert answer_text(answer) == "Which?\n\nTwo differ.\n\nOpen:\n- a\n\nYou can:\n- b\n- c"


@pytest.mark.parametrize(
    ("decision", "words", "said"),
    [
        ("accept", "", "accepted as it is by ann"),
        ("accept", "well done", "accepted as it is by ann: well done"),
        ("replace", "It is blue.", "answered by ann"),
        ("refuse", "", "refused by ann"),
        ("open", "", ""),
    ],
)
def test_an_answer_that_a_person_decided_says_so(
    decision: Literal["accept", "replace", "refuse", "open"], words: str, said: str
) -> None:
    escalation = Escalation(question="Which?", summary="s", decision=decision, words=words, decided_by="ann")
    answer = Answer(state="completed", text="It is blue.", escalation=escalation)

    assert decided(answer) == said
    assert decided(Answer(state="completed")) == ""
    if decision != "open":
        assert answer_text(answer) == "It is blue."


def test_a_run_that_was_cancelled_says_what_is_done_what_was_withdrawn_and_what_it_cost() -> None:
    tasks = (
        TaskReport(task="find", role="researcher", state="succeeded"),
        TaskReport(task="draft", role="writer", state="skipped"),
        TaskReport(task="review", role="reviewer", state="skipped"),
    )
    usage = Usage(model_calls=2, tool_calls=1, input_tokens=1_000, output_tokens=234, cost_usd=0.0123)

    assert so_far(Answer(state="cancelled", tasks=tasks, usage=usage)) == (
        "done: find; withdrawn: draft, review; cost so far: 2 model calls, 1 tool call, 1234 tokens, $0.0123"
    )
    assert so_far(Answer(state="failed", tasks=tasks[1:], usage=Usage(model_calls=1))) == (
        "not done: draft, review; cost so far: 1 model call, $0"
    )


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1), ("rejected", 1)])
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
