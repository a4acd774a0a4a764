"""Reasons: why a task failed or a run ended, in words for people."""

from collections.abc import Iterable

from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.decision import RoleUnserved
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.review import Review
from stretto.shared.contracts.task import TaskFailure
from stretto.supervisor.facts import CommandGiven
from stretto.supervisor.questions import Inquiry
from stretto.supervisor.shape import Loop

__all__ = ["cancelled", "cannot_start", "failed", "not_approved", "refused", "too_many_tasks", "unanswered", "unserved"]


def cannot_start(task_id: str, planned: PlannedTask, problem: str) -> str:
    return f"task {task_id} ({planned.role}) cannot start: {problem}"


def failed(task_id: str, planned: PlannedTask, failure: TaskFailure, attempts: int) -> str:
    who = f"task {task_id} ({planned.role})"
    match failure.kind:
        case "misconfigured":
            return f"{who} cannot run until something is changed: {failure.message}"
        case "retryable" if attempts > 1:
            return f"{who} failed {attempts} times, the last time with: {failure.message}"
        case _:
            return f"{who} failed: {failure.message}"


def unanswered(task_id: str, planned: PlannedTask, inquiries: Iterable[Inquiry]) -> str:
    """That nobody decided in time what the task asked; empty when somebody did."""
    for one in inquiries:
        if one.settled is not None and one.settled.outcome == "expired":
            waited = _span(one.question.expires_in_s)
            who = f"task {task_id} ({planned.role})"
            return f"{who} asked a person, and nobody decided within {waited}: {one.question.text}"
    return ""


def not_approved(loop: Loop, review: Review) -> str:
    reasons = review.reasons or "; ".join(note.problem for note in review.notes) or "no reasons given"
    if review.verdict == "reject":
        return f"{loop.reviewer} rejected {loop.task}: {reasons}"
    return f"{loop.reviewer} did not approve {loop.task} after {loop.rounds - 1} revisions: {reasons}"


def refused(ruling: Escalation) -> str:
    """That the run does not go on from what a person decided."""
    who = ruling.decided_by or "a person"
    match ruling.decision:
        case "refuse":
            why = f" ({ruling.words})" if ruling.words else ""
            return f"refused by {who}{why}: {ruling.question}"
        case "revise":
            return f"{who} asked for changes that this run cannot make any more: {ruling.words}"
        case _:
            return f"nobody has decided: {ruling.question}"


def too_many_tasks(plan: Plan, budget: Budget | None) -> str:
    """That the plan has more tasks than the run's budget allows; empty when it has not."""
    if budget is None or budget.tasks is None or len(plan.tasks) <= budget.tasks:
        return ""
    return f"the plan {plan.playbook} has {len(plan.tasks)} tasks, and the run's budget allows {budget.tasks}"


def cancelled(given: CommandGiven) -> str:
    why = f": {given.command.reason}" if given.command.reason else ""
    return f"cancelled by {given.principal}{why}"


def unserved(event: RoleUnserved) -> str:
    role = event.role
    return f"nobody serves the role {role} (waited {event.waited_s:.0f} s): start one with `stretto agent run {role}`"


def _span(seconds: float) -> str:
    """A length of time in the largest unit that it fills."""
    for size_s, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size_s:
            count = round(seconds / size_s, 1)
            return f"{count:g} {unit}" if count == 1 else f"{count:g} {unit}s"
    return f"{seconds:g} s"
