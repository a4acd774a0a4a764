"""Question view: what a run asks a person, as people and programs see it, and the commands that settle it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from stretto.cli.moments import ahead, local, since
from stretto.cli.terminal import printable
from stretto.shared.questions import AskedQuestion
from stretto.supervisor.roles import ESCALATION

__all__ = [
    "LIST_COLUMNS",
    "how_it_stands",
    "list_row",
    "question_data",
    "question_lines",
    "question_text",
    "ways_to_settle",
]

LIST_COLUMNS: Final = ("question", "asked", "expires", "run", "from", "kind", "what is to be decided")
_SHOWN_CHARS: Final = 80


def list_row(asked: AskedQuestion, now: datetime) -> Sequence[object]:
    """One line of the list."""
    question = asked.question
    return (
        question.id,
        since(asked.asked_at, now),
        ahead(asked.expires_at, now),
        asked.run,
        question.role,
        question.kind,
        _short(question.text),
    )


def question_data(asked: AskedQuestion) -> dict[str, Any]:
    """One question for programs."""
    question, settled = asked.question, asked.settled
    return {
        "id": question.id,
        "run": asked.run,
        "state": "open" if asked.is_open else settled.outcome if settled else "moot",
        "kind": question.kind,
        "text": question.text,
        "summary": question.summary,
        "points": list(question.points),
        "options": list(question.options),
        "role": question.role,
        "task": question.task,
        "attempt": question.attempt,
        "agent": asked.agent,
        "asked_at": asked.asked_at.isoformat(),
        "expires_at": asked.expires_at.isoformat(),
        "settled": {"by": settled.principal, "at": settled.at.isoformat(), "text": settled.text} if settled else None,
        "run_ended": asked.ended,
    }


def question_lines(asked: AskedQuestion, request: str, now: datetime) -> Iterator[tuple[str, object]]:
    """Where a question comes from and how it stands."""
    question = asked.question
    yield "question", f"{question.id} ({question.kind})"
    yield "state", how_it_stands(asked, now)
    yield "asked", f"{local(asked.asked_at)} ({since(asked.asked_at, now)}) by {asked.agent}"
    yield "run", f"{asked.run}, task {question.task}, attempt {question.attempt}"
    yield "request", " ".join(request.split())


def question_text(asked: AskedQuestion) -> str:
    """What a person reads before deciding."""
    question = asked.question
    lines = [question.text]
    if question.summary:
        lines += ["", question.summary]
    for title, points in (("Open:", question.points), ("You can:", question.options)):
        if points:
            lines += ["", title, *(f"- {point}" for point in points)]
    return printable("\n".join(lines))


def how_it_stands(asked: AskedQuestion, now: datetime) -> str:
    """Whether it waits and until when, or how it was settled, in a line."""
    settled = asked.settled
    if settled is not None and settled.outcome == "expired":
        return f"expired at {local(settled.at)}: nobody had decided by then"
    if settled is not None:
        words = f": {settled.text}" if settled.text else ""
        return printable(f"{settled.outcome} by {settled.principal} at {local(settled.at)}{words}")
    if asked.ended is not None:
        return f"not settled: the run is over ({asked.ended})"
    if asked.moot:
        return f"not settled: task {asked.question.task} has gone on without"
    return f"open until {local(asked.expires_at)} ({ahead(asked.expires_at, now)})"


def ways_to_settle(asked: AskedQuestion, *, tenant: str | None = None) -> list[str]:
    """The commands that settle it, one a line, of a draft with what they mean; `tenant` where the settings would say another one."""
    whose = f" --tenant {tenant}" if tenant else ""
    question = asked.question
    ways = [(f"stretto inbox approve {question.id}{whose}", "it stands as it is")]
    if question.kind == "question":
        ways.append((f'stretto inbox answer {question.id} "YOUR ANSWER"{whose}', "your words take its place"))
    ways.append(
        (f'stretto inbox reject {question.id} --note "WHAT TO CHANGE"{whose}', "it is revised; without a note, refused")
    )
    if question.role != ESCALATION:  # what follows from a decision is the agent's own business
        return [command for command, _ in ways]
    width = max(len(command) for command, _ in ways)
    return [f"{command:<{width}}  # {meaning}" for command, meaning in ways]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 1]}…"
