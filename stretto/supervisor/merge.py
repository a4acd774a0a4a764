"""merge: the one answer of a run, from what its tasks did."""

import json
import math
from collections.abc import Iterable
from functools import reduce
from operator import add

from pydantic import JsonValue, ValidationError

from stretto.shared.contracts.answer import Answer, TaskReport
from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.review import Review
from stretto.shared.contracts.usage import Usage
from stretto.supervisor.citations import CitedText, cite, read_findings
from stretto.supervisor.expansion import Expansion
from stretto.supervisor.state import RunState
from stretto.supervisor.task_state import TaskState
from stretto.supervisor.unfolding import End, Unfolded

__all__ = ["NOT_FOUND", "combine_confidence", "merge"]

NOT_FOUND = "Not found in the documents."


def merge(state: RunState, end: End) -> Answer:
    """The answer of a run that ended with `end`, from its tasks as they stood then."""
    shape = state.course.shape if state.course else None
    answering = state.expansion.steps[shape.positions[shape.plan.answer]] if shape else Unfolded()
    tasks = state.tasks
    reports = tuple(_report(task, {}) for task in tasks)
    answer = Answer(
        state=end.state,
        reason=end.reason,
        retry_in_s=end.retry_in_s,
        review=_review(answering, state.expansion),
        escalation=_escalation(answering, state.expansion),
        playbook=shape.plan.playbook if shape else "",
        usage=_total(report.usage for report in reports),
        tasks=reports,
    )
    if end.state != "completed" or shape is None:
        return answer
    output = answering.done[shape.plan.answer].output
    decision = answering.escalation.decision if answering.escalation else None
    draft = _draft(output)
    if draft is None:
        sure = 1.0 if decision == "replace" else None
        return answer.model_copy(
            update={"answered": True, "text": _plain(output), "output": output, "confidence": sure}
        )
    cited = cite(draft, read_findings(tasks))
    if not draft.answered or not draft.claims:
        gap = draft.gap or ("" if not draft.answered else "The draft makes no claim.")
        return answer.model_copy(update={"text": f"{NOT_FOUND} {gap}".strip()})
    judged = 1.0 if decision == "accept" else answer.review.confidence if answer.review else None
    return answer.model_copy(
        update={
            "answered": True,
            "text": cited.text,
            "citations": cited.citations,
            "confidence": combine_confidence(draft, cited, judged),
            "tasks": tuple(_report(task, cited.contributed) for task in tasks),
        }
    )


def combine_confidence(draft: Draft, cited: CitedText, judged: float | None) -> float:
    """How sure the answer is, 0 to 1.

    The geometric mean of what the parts say (the writer of the draft, the researchers of the cited findings on average, and `judged`: the
    reviewer where there is one, 1 where a person accepted the draft in the reviewer's place), times the share of claims that are
    supported: one doubtful part lowers the whole, and a claim that nobody can look up counts for nothing.
    """
    parts = [draft.confidence]
    if cited.cited:
        parts.append(sum(finding.confidence for finding in cited.cited) / len(cited.cited))
    if judged is not None:
        parts.append(judged)
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


def _review(answering: Unfolded, expansion: Expansion) -> Review | None:
    """The last review of the answering task; of several reviewers' the last in the plan, if none reviewed that one."""
    reviews = [step.review for step in expansion.steps if step.review is not None]
    return answering.review or (reviews[-1] if reviews else None)


def _escalation(answering: Unfolded, expansion: Expansion) -> Escalation | None:
    """What a person decided last: where the run ended for it, else about the answering task, else anywhere."""
    ended = next((step.escalation for step in expansion.steps if step.end is not None), None)
    others = [step.escalation for step in expansion.steps if step.escalation is not None]
    return ended or answering.escalation or (others[-1] if others else None)


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
