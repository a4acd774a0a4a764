"""output_text: what a task brought forth, as a person reads it."""

import json
from collections.abc import Iterator, Mapping

from pydantic import JsonValue, ValidationError

from stretto.bus.message import Value
from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.findings import Finding, Findings
from stretto.shared.contracts.proposal import PlanProposal
from stretto.shared.contracts.review import Review

__all__ = ["findings_in", "output_text"]

_KINDS: tuple[tuple[frozenset[str], type[Value]], ...] = (
    (frozenset(("question", "findings")), Findings),
    (frozenset(("answered", "claims")), Draft),
    (frozenset(("verdict", "notes")), Review),
    (frozenset(("question", "decision")), Escalation),
    (frozenset(("tasks", "answer")), PlanProposal),
)
"""Outputs that are known by their fields: which an output must have to be one of these."""


def output_text(output: Mapping[str, JsonValue], found: Mapping[str, Finding]) -> str:
    """The output in words where it is one of Stretto's own kinds, or a text; else as JSON.

    Args:
        found: the run's findings by id, for what a draft cites.
    """
    match _known(output):
        case Findings() as findings:
            return "\n".join(_findings(findings))
        case Draft() as draft:
            return "\n".join(_draft(draft, found))
        case Review() as review:
            return "\n".join(_review(review))
        case Escalation(decision="open") as escalation:
            return "\n".join((escalation.question, *(f"- {point}" for point in escalation.open_points)))
        case Escalation() as escalation:
            words = f": {escalation.words}" if escalation.words else ""
            return f"{escalation.decided_by or 'somebody'} decided to {escalation.decision}{words}"
        case PlanProposal() as proposal:
            tasks = ", ".join(f"{task.id} by {task.role}" for task in proposal.tasks)
            return f"proposes {tasks}{f' ({proposal.reason})' if proposal.reason else ''}"
        case _:
            return _other(output)


def findings_in(output: Mapping[str, JsonValue]) -> dict[str, Finding]:
    """The findings of an output, by their ids; none of one that is no `Findings`."""
    known = _known(output)
    return {one.id: one for one in known.findings} if isinstance(known, Findings) else {}


def _known(output: Mapping[str, JsonValue]) -> Value | None:
    for fields, kind in _KINDS:
        if fields <= output.keys():
            try:
                return kind.model_validate(output)
            except ValidationError:  # a user's own agent whose output only looks alike
                continue
    return None


def _other(output: Mapping[str, JsonValue]) -> str:
    """Its text, and what else there is in it as JSON."""
    text = output.get("text")
    if not isinstance(text, str) or not text:
        return json.dumps(output, ensure_ascii=False)
    rest = {name: value for name, value in output.items() if name != "text" and value not in (None, "", [], {})}
    return f"{text}\n{json.dumps(rest, ensure_ascii=False)}" if rest else text


def _findings(output: Findings) -> Iterator[str]:
    number = len(output.findings)
    yield f"{number or 'no'} {'finding' if number == 1 else 'findings'} for: {output.question}"
    for one in output.findings:
        yield f'- "{" ".join(one.quote.split())}" ({_where(one)})'
    if not output.covered:
        yield "it stopped at its limits while something was open"


def _draft(draft: Draft, found: Mapping[str, Finding]) -> Iterator[str]:
    if draft.title:
        yield draft.title
    if not draft.answered:
        yield f"no answer: {draft.gap}" if draft.gap else "no answer"
    if draft.claims:
        yield " ".join(claim.text for claim in draft.claims)
    cited = [found[one] for claim in draft.claims for one in claim.findings if one in found]
    if cited:
        yield f"rests on: {'; '.join(dict.fromkeys(map(_where, cited)))}"


def _review(review: Review) -> Iterator[str]:
    yield f"{review.verdict}: {review.reasons}" if review.reasons else review.verdict
    for note in review.notes:
        where = "" if note.claim is None else f", sentence {note.claim + 1}"
        yield f"- {note.rule}{where}: {note.problem}"


def _where(finding: Finding) -> str:
    return f"{finding.source}, {finding.place}" if finding.place else finding.source
