"""merge: the one answer of a run, from what its tasks did."""

import json
import math
from collections.abc import Iterable
from functools import reduce
from operator import add

from pydantic import JsonValue, ValidationError

from stretto.shared.contracts.answer import Answer, TaskReport
from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.review import Review
from stretto.shared.contracts.usage import Usage
from stretto.supervisor.citations import CitedText, cite, read_findings
from stretto.supervisor.expansion import End, Expansion
from stretto.supervisor.planning import Course
from stretto.supervisor.shape import Loop, PlanShape
from stretto.supervisor.task_state import TaskState

__all__ = ["NOT_FOUND", "combine_confidence", "merge"]

NOT_FOUND = "Not found in the documents."


def merge(course: Course | None, expansion: Expansion, end: End) -> Answer:
    """The answer of a run that ended with `end`, from the tasks as they stood then."""
    shape = course.shape if course else None
    review = _review(shape, expansion)
    reports = tuple(_report(task, {}) for task in expansion.tasks)
    answer = Answer(
        state=end.state,
        reason=end.reason,
        review=review,
        escalation=end.escalation,
        playbook=shape.plan.playbook if shape else "",
        usage=_total(report.usage for report in reports),
        tasks=reports,
    )
    if end.state != "completed" or shape is None:
        return answer
    output = expansion.done[shape.plan.answer].output
    draft = _draft(output)
    if draft is None:
        return answer.model_copy(update={"answered": True, "text": _plain(output), "output": output})
    cited = cite(draft, read_findings(expansion.tasks))
    if not draft.answered or not draft.claims:
        gap = draft.gap or ("" if not draft.answered else "The draft makes no claim.")
        return answer.model_copy(update={"text": f"{NOT_FOUND} {gap}".strip()})
    return answer.model_copy(
        update={
            "answered": True,
            "text": cited.text,
            "citations": cited.citations,
            "confidence": combine_confidence(draft, cited, review),
            "tasks": tuple(_report(task, cited.contributed) for task in expansion.tasks),
        }
    )


def combine_confidence(draft: Draft, cited: CitedText, review: Review | None) -> float:
    """How sure the answer is, 0 to 1.

    The geometric mean of what the parts say (the writer of the draft, the researchers of the cited findings on average, the reviewer
    where there is one), times the share of claims that are supported: one doubtful part lowers the whole, and a claim that nobody can
    look up counts for nothing.
    """
    parts = [draft.confidence]
    if cited.cited:
        parts.append(sum(finding.confidence for finding in cited.cited) / len(cited.cited))
    if review is not None:
        parts.append(review.confidence)
    return round(min(1.0, math.prod(parts) ** (1 / len(parts)) * cited.supported), 4)


def _draft(output: dict[str, JsonValue]) -> Draft | None:
    if not {"answered", "claims"} <= output.keys():
        return None
    try:
        return Draft.model_validate(output)
    except ValidationError:  # a user's own agent whose output only looks alike
        return None


def _plain(output: dict[str, JsonValue]) -> str:
    text = output.get("text")
    return text if isinstance(text, str) else json.dumps(output, ensure_ascii=False, indent=2)


def _review(shape: PlanShape | None, expansion: Expansion) -> Review | None:
    """The last review of the answering task; of several reviewers' the last in the plan, if none reviewed that one."""
    if shape is None:
        return None
    for step in shape.steps:
        if isinstance(step, Loop) and step.task == shape.plan.answer and step.reviewer in expansion.reviews:
            return expansion.reviews[step.reviewer]
    return next(reversed(expansion.reviews.values()), None)


def _total(usages: Iterable[Usage]) -> Usage:
    return reduce(add, usages, Usage())


def _report(task: TaskState, contributed: dict[str, tuple[int, ...]]) -> TaskReport:
    return TaskReport(
        task=task.id,
        role=task.role,
        state=task.status if task.status in ("succeeded", "failed") else "skipped",
        agent=task.attempts[-1].agent if task.attempts else "",
        attempts=len(task.attempts),
        seconds=sum(result.seconds for result in task.attempts),
        usage=_total(result.usage for result in task.attempts),
        models=tuple(dict.fromkeys(model for result in task.attempts for model in result.models)),
        contributed=contributed.get(task.id, ()),
    )
