"""Citations: a draft's claims and the findings they rest on, made into text with numbered sources."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from stretto.shared.contracts.answer import Citation
from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.findings import Finding, Findings
from stretto.supervisor.task_state import TaskState

__all__ = ["UNRESOLVED", "CitedText", "cite", "read_findings"]

UNRESOLVED: Final = "[?]"
"""Stands behind a claim that cites something that no task of the run has found."""


@dataclass(frozen=True, slots=True)
class CitedText:
    """A draft as text.

    Attributes:
        text: the claims in order, each followed by the numbers of what it rests on.
        citations: what the numbers stand for; the same quote at the same place has one number.
        cited: the findings that are cited, each once.
        supported: share of the claims whose every citation resolves and which have at least one; 0 without claims.
        contributed: by task id, the numbers that rest on its findings.
    """

    text: str
    citations: tuple[Citation, ...]
    cited: tuple[Finding, ...]
    supported: float
    contributed: dict[str, tuple[int, ...]]


def read_findings(tasks: Iterable[TaskState]) -> dict[str, tuple[str, Finding]]:
    """All findings of a run by their id, each with the id of its task. Of two with one id the first counts."""
    found: dict[str, tuple[str, Finding]] = {}
    for task in tasks:
        if task.done is None or not {"question", "findings"} <= task.done.output.keys():
            continue
        try:
            output = Findings.model_validate(task.done.output)
        except ValidationError:  # a user's own agent whose output only looks alike
            continue
        for finding in output.findings:
            found.setdefault(finding.id, (task.id, finding))
    return found


def cite(draft: Draft, found: dict[str, tuple[str, Finding]]) -> CitedText:
    """Number the draft's citations in the order of their first use.

    A claim that cites an unknown finding stays in the text, marked with `[?]`: it was approved, but nobody can look it up.
    """
    numbers: dict[tuple[str, str, str], int] = {}
    citations: list[Citation] = []
    cited: dict[str, Finding] = {}
    contributed: dict[str, dict[int, None]] = {}
    lines: list[str] = []
    supported = 0
    for claim in draft.claims:
        marks: dict[str, None] = {}
        for finding_id in claim.findings:
            if finding_id not in found:
                continue
            task, finding = found[finding_id]
            key = (finding.source, finding.place, finding.quote)
            if key not in numbers:
                numbers[key] = len(numbers) + 1
                citations.append(
                    Citation(
                        number=numbers[key],
                        source=finding.source,
                        place=finding.place,
                        quote=finding.quote,
                        finding=finding.id,
                    )
                )
            cited[finding.id] = finding
            contributed.setdefault(task, {})[numbers[key]] = None
            marks[f"[{numbers[key]}]"] = None
        unknown = any(finding_id not in found for finding_id in claim.findings)
        if unknown:
            marks[UNRESOLVED] = None
        elif marks:
            supported += 1
        lines.append(" ".join(part for part in (claim.text.strip(), "".join(marks)) if part))
    body = _flow(lines)
    return CitedText(
        text=f"{draft.title}\n\n{body}" if draft.title else body,
        citations=tuple(citations),
        cited=tuple(cited.values()),
        supported=supported / len(draft.claims) if draft.claims else 0.0,
        contributed={task: tuple(sorted(ones)) for task, ones in contributed.items()},
    )


def _flow(claims: list[str]) -> str:
    """One text: sentences one after another, what has lines of its own (code, lists) set apart."""
    text = ""
    for claim in claims:
        apart = "\n\n" if "\n" in claim or "\n" in text.rpartition("\n\n")[2] else " "
        text = f"{text}{apart}{claim}" if text else claim
    return text
