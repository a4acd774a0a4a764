"""merge: the one answer of a run, from what its tasks did."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from pydantic import JsonValue, ValidationError

from stretto.shared.contracts.answer import Answer, Citation, TaskReport
from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.review import Review
from stretto.shared.contracts.usage import Usage, add_by_model
from stretto.supervisor.citations import CitedText, cite, read_findings
from stretto.supervisor.expansion import Expansion
from stretto.supervisor.state import RunState
from stretto.supervisor.task_state import TaskState
from stretto.supervisor.unfolding import End, Unfolded

__all__ = ["NOT_FOUND", "combine_confidence", "merge"]

NOT_FOUND = "Not found in the documents."


@dataclass(frozen=True, slots=True)
class _Content:
    """What an answer says, as its fields; `contributed` are the numbers of the citations by task."""

    answered: bool = False
    text: str = ""
    citations: tuple[Citation, ...] = ()
    output: dict[str, JsonValue] | None = None
    confidence: float | None = None
    contributed: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])


def merge(state: RunState, end: End) -> Answer:
    """The answer of a run that ended with `end`, from its tasks as they stood then."""
    shape = state.course.shape if state.course else None
    answering = state.expansion.steps[shape.positions[shape.plan.answer]] if shape else Unfolded()
    review = _review(answering, state.expansion)
    content = _Content()
    if end.state == "completed" and shape is not None:
        content = _content(answering.done[shape.plan.answer].output, answering.escalation, review, state.tasks)
    reports = tuple(_report(task, content.contributed) for task in state.tasks)
    return Answer(
        state=end.state,
        answered=content.answered,
        text=content.text,
        citations=content.citations,
        output=content.output,
        review=review,
        escalation=_escalation(answering, state.expansion),
        confidence=content.confidence,
        usage=_total([report.usage for report in reports]),
        playbook=shape.plan.playbook if shape else "",
        reason=end.reason,
        retry_in_s=end.retry_in_s,
        tasks=reports,
        remarks=tuple(dict.fromkeys(said for task in state.tasks for one in task.attempts for said in one.remarks)),
    )


def _content(
    output: dict[str, JsonValue], escalation: Escalation | None, review: Review | None, tasks: Sequence[TaskState]
) -> _Content:
    """What the answering task's output says; `escalation` is what a person decided about it, if somebody had to."""
    decision = escalation.decision if escalation else None
    draft = _draft(output)
    if draft is None:
        sure = 1.0 if decision == "replace" else None
        return _Content(answered=True, text=_plain(output), output=output, confidence=sure)
    if not draft.answered or not draft.claims:
        gap = draft.gap or ("" if not draft.answered else "The draft makes no claim.")
        return _Content(text=f"{NOT_FOUND} {gap}".strip())
    cited = cite(draft, read_findings(tasks))
    judged = 1.0 if decision == "accept" else review.confidence if review else None
    return _Content(
        answered=True,
        text=cited.text,
        citations=cited.citations,
        confidence=combine_confidence(draft, cited, judged),
        contributed=cited.contributed,
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


def _total(usages: Sequence[Usage]) -> Usage:
    return reduce(add, usages) if usages else Usage()


def _report(task: TaskState, contributed: Mapping[str, tuple[int, ...]]) -> TaskReport:
    return TaskReport(
        task=task.id,
        role=task.role,
        state=task.status if task.status in ("succeeded", "failed") else "skipped",
        agent=task.attempts[-1].agent if task.attempts else "",
        attempts=len(task.attempts),
        seconds=sum(result.seconds for result in task.attempts),
        usage=_total([result.usage for result in task.attempts]),
        models=tuple(dict.fromkeys(model for result in task.attempts for model in result.models)),
        contributed=contributed.get(task.id, ()),
        by_model=add_by_model(result.by_model for result in task.attempts),
    )
