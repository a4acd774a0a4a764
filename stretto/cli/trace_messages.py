"""trace_messages: a run as a conversation: who said what to whom, and when."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from stretto.bus.envelope import open_envelope
from stretto.bus.errors import DecodeError
from stretto.bus.tenant_logs import RunMessage
from stretto.cli.answer_view import answer_text, outcome
from stretto.cli.terminal import printable, say, show
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, PlanMade, PlanningAsked, RoleUnserved, RunRejected
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult

__all__ = ["Said", "said_in", "write_messages"]

_LINES: Final = 6
_CHARS: Final = 480


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was said: who said it, to whom, and so many seconds after the run began."""

    after_s: float
    speaker: str
    to: str
    text: str


def write_messages(log: Sequence[RunMessage], *, full: bool) -> None:
    """The conversation on stdout; long texts are cut unless `full`."""
    cut = False
    for said in said_in(log):
        text = printable(said.text).strip()
        short = text if full else _short(text)
        cut = cut or short != text
        head = printable(f"{said.after_s:8.3f} s  {said.speaker} to {said.to}")
        body = "\n".join(f"    {line}" if line else "" for line in short.split("\n"))
        show(f"{head}\n{body}\n" if short else f"{head}\n")
    if cut:
        say("stretto: long texts are cut: --full shows them whole")


def said_in(log: Sequence[RunMessage]) -> Iterator[Said]:
    """What the log's messages say, in their order; those that cannot be read say so."""
    for fact in log:
        after_s = (fact.at - log[0].at).total_seconds()
        try:
            told = _told(fact)
        except DecodeError as error:
            told = (fact.envelope.sender, "everyone", f"(cannot be read: {error})")
        if told is not None:
            yield Said(after_s, *told)


def _told(fact: RunMessage) -> tuple[str, str, str] | None:
    """Who, to whom, and what; None for what is no speech, such as a timer."""
    sender, envelope = fact.envelope.sender, fact.envelope
    match fact.subject.kind:
        case "request":
            return sender, "supervisor", open_envelope(envelope, Request).text
        case "decision":
            return "supervisor", "team", "\n".join(map(_decided, open_envelope(envelope, Decision).events))
        case "result":
            result = open_envelope(envelope, TaskResult)
            who = f"{result.role} ({result.task}, attempt {result.attempt})"
            if result.failure is not None:
                return who, "supervisor", f"failed: {result.failure.error}: {result.failure.message}"
            return who, "supervisor", _output(result.output or {})
        case "question":
            question = open_envelope(envelope, Question)
            text = "\n".join(part for part in (question.text, question.summary) if part)
            return f"{question.role} ({question.task})", "a person", text
        case "command":
            command = open_envelope(envelope, Command)
            said = command.text or command.reason
            return sender, "supervisor", f"{command.verb}: {said}" if said else command.verb
        case "answer":
            answer = open_envelope(envelope, Answer)
            return "supervisor", "requester", answer_text(answer) or outcome(answer)
        case _:
            return None


def _decided(event: PlanMade | PlanningAsked | RoleUnserved | RunRejected) -> str:
    match event:
        case PlanMade(plan=plan):
            why = f" ({plan.reason})" if plan.reason else ""
            tasks = ", ".join(f"{task.id} by {task.role}" for task in plan.tasks)
            return f"plan {plan.playbook}{why}: {tasks}"
        case PlanningAsked():
            return "the planner is to make a plan"
        case RoleUnserved(role=role):
            return f"nobody serves the role {role}"
        case RunRejected(reason=reason):
            return f"rejected: {reason}"


def _output(output: dict[str, JsonValue]) -> str:
    text = output.get("text")
    if isinstance(text, str) and text:
        return text
    import yaml  # reads easier than JSON; late, for it takes a while to load

    said = {name: value for name, value in output.items() if value not in ("", [], {}, None)}
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=10_000).strip()


def _short(text: str) -> str:
    lines = text.split("\n")
    short = "\n".join(lines[:_LINES])[:_CHARS]
    return text if short == text else f"{short} …"
