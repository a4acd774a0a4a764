"""Run log: one run's log as a person reads it, and where the run stands."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from stretto.bus.client import Client, RunMessage
from stretto.bus.envelope import open_envelope
from stretto.bus.errors import DecodeError
from stretto.cli.answer_view import answer_data, answer_text
from stretto.cli.budget_view import account_of, budget_data, budget_text
from stretto.cli.errors import UsageFailed
from stretto.cli.moments import ahead, local
from stretto.cli.output import write_json, write_table
from stretto.cli.question_view import how_it_stands, question_data
from stretto.cli.running_system import open_log
from stretto.cli.standing import standing_of
from stretto.cli.terminal import printable, say, show
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, PlanMade, PlanningAsked, RoleUnserved, RunRejected
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult
from stretto.shared.questions import AskedQuestion, asked_questions
from stretto.shared.settings import Settings
from stretto.supervisor.state import RunState

__all__ = ["show_run"]

_STATES: Final = {"parked": "waits for a person", "delayed": "to be tried again"}


async def show_run(settings: Settings, run: str, *, as_json: bool) -> int:
    """Everything that is stored of one run, in order, where it stands, and its answer.

    Raises:
        UsageFailed: nothing is known of such a run.
    """
    async with open_log(settings) as connection:
        client = Client(
            connection=connection, deployment=settings.deployment, tenant=settings.tenant, principal=settings.principal
        )
        try:
            facts = await client.log(run)
        except ValueError as error:  # no run can have such an id
            raise UsageFailed(str(error)) from error
        state = await standing_of(connection, settings, run)
        budget = state.course.budget if state.course else None
        account = await account_of(connection, settings, run) if budget else None
    if not facts:
        raise UsageFailed(f"nothing is known of run {run} of tenant {settings.tenant}: see `stretto runs list`")
    answer = next((found for found in map(_answer, facts) if found is not None), None)
    questions = asked_questions(facts)
    now = datetime.now(UTC)
    if as_json:
        write_json(
            {
                "run": run,
                "log": [_data(fact) for fact in facts],
                "in_progress": [] if answer else list(_tasks_data(state)),
                "questions": [question_data(asked) for asked in questions],
                "budget": None if budget is None else budget_data(budget, account),
                "answer": None if answer is None else answer_data(run, answer),
            }
        )
        return 0
    began = facts[0].at
    write_table(
        ("after", "what", "by", ""),
        (
            (
                f"{(fact.at - began).total_seconds():.3f} s",
                " ".join((fact.subject.kind, *fact.subject.tail)),
                fact.envelope.sender,
                _said(fact),
            )
            for fact in facts
            if fact.subject.kind != "schedule"  # what it has set is seen when it comes to pass
        ),
    )
    if budget is not None:
        say(f"\nstretto: {budget_text(budget, account)}")
    if answer is not None:
        show(f"\n{printable(answer_text(answer) or answer.reason)}")
    else:
        _show_progress(state, questions, now)
    return 0


def _show_progress(state: RunState, questions: Sequence[AskedQuestion], now: datetime) -> None:
    """What the run is at, and what it waits for."""
    if state.planned is None:
        say("\nstretto: it waits for a plan")
        return
    asked = {one.question.id: one for one in questions}
    say("")
    write_table(
        ("in progress", "role", "state", "since", ""),
        (
            (
                task.id,
                task.role,
                _STATES.get(task.status, task.status),
                local(task.moment.at) if task.moment else "",
                f"next try {ahead(task.retry.at, now)}"
                if task.retry
                else "; ".join(
                    f"{one.question.id}: {how_it_stands(asked[one.question.id], now)}"
                    for one in task.open
                    if one.question.id in asked
                ),
            )
            for task in state.in_progress
        ),
    )
    if any(one.is_open for one in questions):
        say("stretto: see `stretto inbox show QUESTION`")


def _tasks_data(state: RunState) -> Iterator[dict[str, Any]]:
    for task in state.in_progress:
        yield {
            "task": task.id,
            "role": task.role,
            "attempt": task.attempt,
            "state": task.status,
            "since": task.moment.at.isoformat() if task.moment else None,
            "next_try_at": task.retry.at.isoformat() if task.retry else None,
            "questions": [one.question.id for one in task.open],
        }


def _data(fact: RunMessage) -> dict[str, Any]:
    return {
        "seq": fact.seq,
        "at": fact.at.isoformat(),
        "kind": fact.subject.kind,
        "subject": list(fact.subject.tail),
        "sender": fact.envelope.sender,
        "body": fact.envelope.body,
    }


def _answer(fact: RunMessage) -> Answer | None:
    try:
        return open_envelope(fact.envelope, Answer) if fact.subject.kind == "answer" else None
    except DecodeError:  # junk counts for nothing
        return None


def _said(fact: RunMessage) -> str:
    """What the message says, in a line."""
    try:
        match fact.subject.kind:
            case "request":
                return open_envelope(fact.envelope, Request).text
            case "decision":
                return "; ".join(map(_decided, open_envelope(fact.envelope, Decision).events))
            case "result":
                result = open_envelope(fact.envelope, TaskResult)
                failed = f", failed: {result.failure.message}" if result.failure else ""
                return " ".join((f"{result.seconds:.2f} s{failed}", *(f"({remark})" for remark in result.remarks)))
            case "command":
                command = open_envelope(fact.envelope, Command)
                return f"{command.verb} {command.reason or command.text}".strip()
            case "question":
                question = open_envelope(fact.envelope, Question)
                return f"asks a person ({question.kind} {question.id}): {' '.join(question.text.split())}"
            case "answer":
                answer = open_envelope(fact.envelope, Answer)
                return f"{answer.state} {answer.reason}".strip()
            case _:
                return ""
    except DecodeError as error:
        return f"cannot be read: {error}"


def _decided(event: PlanMade | PlanningAsked | RoleUnserved | RunRejected) -> str:
    match event:
        case PlanMade(plan=plan):
            return f"plan {plan.playbook} ({plan.reason}): {', '.join(task.id for task in plan.tasks)}"
        case PlanningAsked(roles=roles):
            return f"the planner is asked, with {', '.join(offer.role for offer in roles)}"
        case RoleUnserved(role=role, waited_s=waited_s):
            return f"nobody served {role} for {waited_s:.0f} s"
        case RunRejected(reason=reason):
            return f"rejected: {reason}"
