"""Run log: one run's log as a person reads it."""

from typing import Any

from stretto.bus.client import Client, RunMessage
from stretto.bus.envelope import open_envelope
from stretto.bus.errors import DecodeError
from stretto.cli.answer_view import answer_data, answer_text
from stretto.cli.errors import UsageFailed
from stretto.cli.output import write_json, write_table
from stretto.cli.running_system import open_log
from stretto.cli.terminal import printable, show
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, PlanMade, PlanningAsked, RoleUnserved, RunRejected
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskResult
from stretto.shared.settings import Settings

__all__ = ["show_run"]


async def show_run(settings: Settings, run: str, *, as_json: bool) -> int:
    """Everything that is stored of one run, in order, and its answer.

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
    if not facts:
        raise UsageFailed(f"nothing is known of run {run} of tenant {settings.tenant}: see `stretto runs list`")
    answer = next((found for found in map(_answer, facts) if found is not None), None)
    if as_json:
        write_json(
            {
                "run": run,
                "log": [_data(fact) for fact in facts],
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
        ),
    )
    if answer is not None:
        show(f"\n{printable(answer_text(answer) or answer.reason)}")
    return 0


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
                return f"{result.seconds:.2f} s{failed}"
            case "command":
                command = open_envelope(fact.envelope, Command)
                return f"{command.verb} {command.reason}".strip()
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
