"""`stretto trace --messages`: a run as a conversation, from its log written by hand."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from stretto.bus.envelope import Envelope
from stretto.bus.message import Message
from stretto.bus.subjects import RunKey, RunSubject, TaskKey
from stretto.bus.tenant_logs import RunMessage
from stretto.cli.trace_messages import Said, message_lines, said_in
from stretto.shared.contracts.answer import Answer, Citation
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, PlanMade
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.question import Question, question_id
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.shared.contracts.timer import TimerFired
from stretto.supervisor.timers import DEADLINE, retry_name

KEY = RunKey.of("default", "first", 4)
BEGAN = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC).replace(tzinfo=None).astimezone()
"""As times are shown: by the clock of this machine."""
QUOTE = "A refund is paid within 30 days."
FINDINGS: dict[str, Any] = {
    "question": "When is a refund paid?",
    "findings": [{"id": "f1", "quote": QUOTE, "source": "handbook.md", "place": "line 3", "confidence": 0.9}],
}
DRAFT: dict[str, Any] = {"answered": True, "title": "Refunds", "claims": [{"text": QUOTE, "findings": ["f1"]}]}
REVIEW: dict[str, Any] = {
    "verdict": "revise",
    "reasons": "One thing is missing.",
    "notes": [{"claim": 0, "rule": "completeness", "problem": "Say from when on."}],
}
ASKED = question_id(TaskKey(KEY, "escalation", "escalate", 1), 0)


@dataclass
class Log:
    """A run's log, written by hand: one message a tenth of a second."""

    messages: list[RunMessage] = field(default_factory=list[RunMessage])

    def add(self, sender: str, message: Message, *tail: str) -> None:
        seq = len(self.messages)
        kind: Any = message.TYPE
        envelope = Envelope.of(message, tenant="default", run="first", sender=sender)
        at = BEGAN + timedelta(seconds=seq / 10)
        self.messages.append(RunMessage(RunSubject(KEY, kind, tail), seq + 1, at, envelope))

    def result(self, role: str, task: str, attempt: int = 1, **fields: Any) -> None:
        result = TaskResult(task=task, attempt=attempt, role=role, agent=f"{role}-1", **fields)
        self.add(f"{role}-1", result, role, task, str(attempt))

    def question(self) -> None:
        question = Question(
            id=ASKED, task="escalate", attempt=1, role="escalation", position=0, digest="d",
            text="Which handbook?", summary="There are two.", options=("the old one", "the new one"),
        )  # fmt: skip
        self.add("escalation-1", question, "escalation", "escalate", "1", "0")

    def command(self, who: str, text: str) -> None:
        self.add(who, Command(verb="answer", question=ASKED, text=text), who, ASKED)

    def lines(self, width: int | None = 80, *, full: bool = False) -> list[str]:
        return list(message_lines(said_in(self.messages), width=width, full=full))


def a_whole_run() -> Log:
    log = Log()
    log.add("ann", Request(text="When is a refund paid?"), "ann")
    tasks = (PlannedTask(id="find", role="researcher"), PlannedTask(id="draft", role="writer"))
    made = PlanMade(plan=Plan(playbook="brief", reason="nearest", tasks=tasks, answer="draft"))
    log.add("supervisor-1", Decision(events=(made,)))
    log.result(
        "researcher", "find", failure=TaskFailure(kind="retryable", error="ModelUnavailable", message="no answer")
    )
    log.add("supervisor-1", TimerFired(name=retry_name("find", 2)), retry_name("find", 2))
    log.result("researcher", "find", 2, output=FINDINGS, remarks=("a model was passed over",))
    log.result("writer", "draft", output=DRAFT)
    log.result("reviewer", "review", output=REVIEW)
    log.question()
    log.command("ann", "The new one.")
    log.command("eve", "The old one.")
    log.add("supervisor-1", TimerFired(name=ASKED), ASKED)
    log.add("supervisor-1", TimerFired(name=DEADLINE), DEADLINE)
    log.result("tagger", "tags", output={"tags": ["money", "Rückgabe"]})
    citation = Citation(number=1, source="handbook.md", place="line 3", quote=QUOTE)
    log.add("supervisor-1", Answer(state="completed", answered=True, text=f"{QUOTE} [1]", citations=(citation,)))
    return log


def test_a_whole_run_at_eighty_columns() -> None:
    assert (
        "\n".join(a_whole_run().lines())
        == f"""\
12:00:00  +0.000 s  request: ann to supervisor
    When is a refund paid?

12:00:00  +0.100 s  decision: supervisor to all
    plan brief (nearest): find by researcher, draft by writer

12:00:00  +0.200 s  failure of find: researcher-1 to supervisor
    ModelUnavailable: no answer

12:00:00  +0.300 s  time to try again: the clock to supervisor
    find, attempt 2

12:00:00  +0.400 s  result of find, attempt 2: researcher-1 to supervisor
    1 finding for: When is a refund paid?
    - "A refund is paid within 30 days." (handbook.md, line 3)
    (a model was passed over)

12:00:00  +0.500 s  result of draft: writer-1 to supervisor
    Refunds
    A refund is paid within 30 days.
    rests on: handbook.md, line 3

12:00:00  +0.600 s  result of review: reviewer-1 to supervisor
    revise: One thing is missing.
    - completeness, sentence 1: Say from when on.

12:00:00  +0.700 s  question {ASKED}: escalation-1 to a person
    Which handbook?
    There are two.
    can be answered with: the old one, the new one

12:00:00  +0.800 s  answers {ASKED}: ann to escalation-1
    The new one.

12:00:00  +0.900 s  answers {ASKED} in vain: eve to escalation-1
    The old one.

12:00:01  +1.200 s  result of tags: tagger-1 to supervisor
    {{"tags": ["money", "Rückgabe"]}}

12:00:01  +1.300 s  answer: supervisor to ann
    A refund is paid within 30 days. [1]

    Sources:
    [1] handbook.md, line 3
        "A refund is paid within 30 days.\""""
    )


def test_a_question_that_nobody_settled_in_time() -> None:
    log = Log()
    log.add("ann", Request(text="why?"), "ann")
    log.question()
    log.add("supervisor-1", TimerFired(name=ASKED), ASKED)
    (*_, said) = said_in(log.messages)
    assert (said.who, said.to, said.text) == ("the clock", "escalation-1", "nobody decided in 7 d")


def test_what_failed_says_why() -> None:
    log = Log()
    log.add("ann", Request(text="why?"), "ann")
    log.add("supervisor-1", Answer(state="failed", reason="find failed: no answer"))
    assert said_in(log.messages)[-1].text == "failed: find failed: no answer"


def test_what_cannot_be_read_says_so_and_hides_nothing_after_it() -> None:
    log = Log()
    log.add("ann", Request(text="why?"), "ann")
    log.messages.append(RunMessage(RunSubject(KEY, "answer", ()), 2, BEGAN, log.messages[0].envelope))
    log.add("supervisor-1", Answer(state="cancelled", reason="ann wanted it"))
    texts = [said.text for said in said_in(log.messages)]
    assert texts[1].startswith("(cannot be read: ")
    assert texts[2] == "cancelled: ann wanted it"


def said(text: str) -> list[Said]:
    return [Said(BEGAN, "writer-1", "supervisor", "result of draft", text)]


def test_a_long_text_is_folded_unless_it_is_wanted_in_full() -> None:
    text = "\n".join(f"line {number}" for number in range(1, 21))
    _, *shown = message_lines(said(text), width=80, full=False)
    assert shown == [*(f"    line {number}" for number in range(1, 9)), "    … (12 more lines: --full)"]
    assert len(list(message_lines(said(text), width=80, full=True))) == 21


def test_one_long_line_is_folded_where_lines_are_not_broken() -> None:
    _, line = message_lines(said("word " * 1_000), width=None, full=False)
    assert line.endswith(" more characters: --full)")
    _, whole = message_lines(said("word " * 1_000), width=None, full=True)
    assert whole == f"    {'word ' * 1_000}".rstrip()


def test_no_line_is_wider_than_the_terminal_nor_moves_its_cursor() -> None:
    text = f"{'word ' * 40}\n{'x' * 200}\n{' ' * 70}deep {'word ' * 20}\n\x1b[2Jgone\r\ttab"
    lines = list(message_lines(said(text), width=60, full=True))
    assert max(map(len, lines)) <= 60
    assert not any(mark in "".join(lines) for mark in "\x1b\r\t")


def test_nothing_stored_says_nothing() -> None:
    assert list(message_lines(said_in([]), width=80, full=False)) == []
