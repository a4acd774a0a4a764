"""trace_messages: a run as a conversation: who said what to whom, and when."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from stretto.bus.envelope import open_envelope
from stretto.bus.errors import DecodeError
from stretto.bus.tenant_logs import RunMessage
from stretto.cli.answer_view import answer_text, outcome
from stretto.cli.moments import span
from stretto.cli.output_text import findings_in, output_text
from stretto.cli.terminal import printable
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, PlanMade, PlanningAsked, RoleUnserved, RunRejected
from stretto.shared.contracts.findings import Finding
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult
from stretto.shared.contracts.timer import TimerFired
from stretto.shared.questions import AskedQuestion, asked_questions
from stretto.supervisor.timers import retry_name

__all__ = ["Said", "message_lines", "said_in", "write_messages"]

_SUPERVISOR: Final = "supervisor"
_CLOCK: Final = "the clock"
_ANYBODY: Final = "a person"
_INDENT: Final = "    "
_LINES: Final = 8
_LINE_CHARS: Final = 100
"""A line of a folded text where nothing says how wide lines are."""
_VERBS: Final = {"answer": "answers", "approve": "approves", "reject": "rejects", "cancel": "cancels the run"}


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was said: when, by the server's clock; who said it, and to whom; what kind of thing it is."""

    at: datetime
    who: str
    to: str
    what: str
    text: str


def write_messages(log: Sequence[RunMessage], *, full: bool) -> None:
    """The conversation on stdout; long texts are folded unless `full`. Lines are broken for a terminal only."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print("\n".join(message_lines(said_in(log), width=width, full=full)), flush=True)  # noqa: T201 (the command's own output)


def message_lines(said: Sequence[Said], *, width: int | None, full: bool) -> Iterator[str]:
    """The lines of a conversation, where `width` is given of at most so many columns. None of them can move a terminal's cursor."""
    for number, one in enumerate(said):
        if number:
            yield ""
        after_s = (one.at - said[0].at).total_seconds()
        head = f"{one.at.astimezone():%H:%M:%S}  +{after_s:.3f} s  {one.what}: {one.who} to {one.to}"
        yield from _wrapped(printable(head), width, _INDENT)
        text = printable(one.text).expandtabs(4).strip()
        lines = [line for part in text.split("\n") for line in _wrapped(f"{_INDENT}{part}", width)] if text else []
        folded = lines if full else _folded(lines)
        yield from folded


def said_in(log: Sequence[RunMessage]) -> list[Said]:
    """What the messages of a run's log say, in their order; those that cannot be read say so."""
    telling = _Telling({one.question.id: one for one in asked_questions(log)})
    return [said for fact in log for said in telling.of(fact)]


@dataclass(slots=True)
class _Telling:
    """Tells message by message, with what those before have said.

    Attributes:
        questions: all of the run's, as they stand in the end; `found` the findings so far; `retries` what each retry's timer is for.
    """

    questions: dict[str, AskedQuestion]
    requester: str = ""
    found: dict[str, Finding] = field(default_factory=dict[str, Finding])
    retries: dict[str, str] = field(default_factory=dict[str, str])

    def of(self, fact: RunMessage) -> Iterator[Said]:
        """At most one; none for what is no speech."""
        try:
            told = self._told(fact)
        except DecodeError as error:
            told = (fact.envelope.sender, _SUPERVISOR, fact.subject.kind, f"(cannot be read: {error})")
        if told is not None:
            yield Said(fact.at, *told)

    def _told(self, fact: RunMessage) -> tuple[str, str, str, str] | None:
        """Who, to whom, what, and the text."""
        sender, envelope = fact.envelope.sender, fact.envelope
        match fact.subject.kind:
            case "request":
                request = open_envelope(envelope, Request)
                self.requester = self.requester or sender
                return sender, _SUPERVISOR, "request", request.text
            case "decision":
                events = open_envelope(envelope, Decision).events
                return _SUPERVISOR, "all", "decision", "\n".join(map(_decided, events))
            case "result":
                return self._result(open_envelope(envelope, TaskResult))
            case "question":
                question = open_envelope(envelope, Question)
                return _agent(question.role, sender), _ANYBODY, f"{question.kind} {question.id}", _asked(question)
            case "command":
                return self._command(fact, open_envelope(envelope, Command))
            case "timer":
                return self._timer(fact, open_envelope(envelope, TimerFired))
            case "answer":
                answer = open_envelope(envelope, Answer)
                parts = [answer_text(answer), "" if answer.state == "completed" else outcome(answer), *answer.remarks]
                return _SUPERVISOR, self.requester or "requester", "answer", "\n".join(filter(None, parts))
            case "schedule":  # what it has set is told when it comes to pass
                return None

    def _result(self, result: TaskResult) -> tuple[str, str, str, str]:
        again = f", attempt {result.attempt}" if result.attempt > 1 else ""
        if result.failure is not None:
            self.retries[retry_name(result.task, result.attempt + 1)] = f"{result.task}, attempt {result.attempt + 1}"
            text = f"{result.failure.error}: {result.failure.message}"
        else:
            output = result.output or {}
            text = output_text(output, self.found)
            self.found |= findings_in(output)
        text = "\n".join((text, *(f"({remark})" for remark in result.remarks)))
        what = f"{'failure' if result.failure else 'result'} of {result.task}{again}"
        return _agent(result.role, result.agent), _SUPERVISOR, what, text

    def _command(self, fact: RunMessage, command: Command) -> tuple[str, str, str, str]:
        asked = self.questions.get(command.question or "")
        to = _agent(asked.question.role, asked.agent) if asked else _SUPERVISOR
        what = f"{_VERBS[command.verb]} {command.question or ''}".strip()
        settled = asked.settled if asked else None
        if command.verb != "cancel" and (settled is None or settled.at != fact.at):
            what = f"{what} in vain"  # too late, or it does not fit
        return fact.envelope.sender, to, what, command.text or command.reason

    def _timer(self, fact: RunMessage, timer: TimerFired) -> tuple[str, str, str, str] | None:
        """Only of a timer that something came of: most are set in case of need."""
        asked = self.questions.get(timer.name)
        if asked is not None and asked.settled is not None and asked.settled.at == fact.at:
            waited = span(asked.question.expires_in_s)
            return (
                _CLOCK,
                _agent(asked.question.role, asked.agent),
                f"end of {timer.name}",
                f"nobody decided in {waited}",
            )
        if timer.name in self.retries:
            return _CLOCK, _SUPERVISOR, "time to try again", self.retries[timer.name]
        return None


def _agent(role: str, instance: str) -> str:
    """Instances are named after their role, where nobody has named them otherwise."""
    return instance if instance.startswith(role) else f"{role} {instance}"


def _asked(question: Question) -> str:
    options = f"can be answered with: {', '.join(question.options)}" if question.options else ""
    parts = (question.text, question.summary, *(f"- {point}" for point in question.points), options)
    return "\n".join(filter(None, parts))


def _decided(event: PlanMade | PlanningAsked | RoleUnserved | RunRejected) -> str:
    match event:
        case PlanMade(plan=plan):
            why = f" ({plan.reason})" if plan.reason else ""
            return f"plan {plan.playbook}{why}: {', '.join(f'{task.id} by {task.role}' for task in plan.tasks)}"
        case PlanningAsked(roles=roles):
            return f"the planner is to make a plan with {', '.join(offer.role for offer in roles)}"
        case RoleUnserved(role=role, waited_s=waited_s):
            return f"nobody has served the role {role} for {span(waited_s)}"
        case RunRejected(reason=reason):
            return f"rejected: {reason}"


def _wrapped(line: str, width: int | None, more_indent: str = "") -> list[str]:
    """The line in lines as wide as may be, each indented like the first."""
    if width is None or len(line) <= width:
        return [line.rstrip()]
    indent = line[: len(line) - len(line.lstrip())] + more_indent
    if len(indent) > width // 2:
        indent = _INDENT
        line = indent + line.lstrip()
    return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)


def _folded(lines: Sequence[str]) -> list[str]:
    """The first of many lines, and of a very long one its beginning."""
    if len(lines) > _LINES + 1:
        more = len(lines) - _LINES
        lines = [*lines[:_LINES], f"{_INDENT}… ({more} more lines: --full)"]
    longest = _LINES * _LINE_CHARS
    return [
        line if len(line) <= longest else f"{line[:longest]} … ({len(line) - longest:,} more characters: --full)"
        for line in lines
    ]
