"""Answer view: how an answer looks: as text for people, and as one JSON object for programs."""

from collections.abc import Sequence
from typing import Any, Final

from stretto.cli.errors import ExitCode
from stretto.cli.terminal import printable
from stretto.shared.contracts.answer import Answer, Citation, RunEnd
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.usage import Usage

__all__ = ["answer_data", "answer_text", "cited_text", "decided", "exit_code_of", "outcome", "so_far"]

_EXIT_CODES: Final[dict[RunEnd, ExitCode]] = {
    "completed": ExitCode.OK,
    "failed": ExitCode.FAILED,
    "cancelled": ExitCode.FAILED,
    "rejected": ExitCode.FAILED,
}
_DECISIONS: Final = {
    "accept": "accepted as it is",
    "replace": "answered",
    "revise": "sent back for another revision",
    "refuse": "refused",
}


def exit_code_of(answer: Answer) -> int:
    """0 for a completed run (an honest "not found in the documents" too), else 1."""
    return _EXIT_CODES[answer.state]


def answer_text(answer: Answer) -> str:
    """The answer with its sources, or what a person would have had to decide; empty for a run that has no answer."""
    if answer.escalation is not None and answer.escalation.decision == "open":
        return printable(_escalation(answer.escalation))
    return cited_text(answer.text, answer.citations)


def cited_text(text: str, citations: Sequence[Citation]) -> str:
    """A text with its sources below it."""
    sources = [
        f'[{one.number}] {one.source}{f", {one.place}" if one.place else ""}\n    "{" ".join(one.quote.split())}"'
        for one in citations
    ]
    parts = [text, *(["Sources:\n" + "\n".join(sources)] if sources else [])]
    return printable("\n\n".join(part for part in parts if part))


def outcome(answer: Answer) -> str:
    """How the run ended, and why, in a line."""
    if not answer.reason or answer.reason.startswith(answer.state):
        return answer.reason or answer.state
    return f"{answer.state}: {answer.reason}"


def decided(answer: Answer) -> str:
    """What a person decided on the way, in a line; empty if nobody was asked."""
    escalation = answer.escalation
    if escalation is None or escalation.decision == "open":
        return ""
    words = f": {escalation.words}" if escalation.words and escalation.decision != "replace" else ""
    return f"{_DECISIONS[escalation.decision]} by {escalation.decided_by}{words}"


def so_far(answer: Answer) -> str:
    """What a run that did not complete has done, what was withdrawn, and what it cost."""
    done = [task.task for task in answer.tasks if task.state == "succeeded"]
    skipped = [task.task for task in answer.tasks if task.state == "skipped"]
    not_done = "withdrawn" if answer.state == "cancelled" else "not done"
    parts = [f"{name}: {', '.join(tasks)}" for name, tasks in (("done", done), (not_done, skipped)) if tasks]
    return "; ".join([*parts, f"cost so far: {_cost(answer.usage)}"])


def _cost(usage: Usage) -> str:
    tokens = usage.input_tokens + usage.output_tokens
    counted = [f"{usage.model_calls} model {'call' if usage.model_calls == 1 else 'calls'}"]
    if usage.tool_calls:
        counted.append(f"{usage.tool_calls} tool {'call' if usage.tool_calls == 1 else 'calls'}")
    if tokens:
        counted.append(f"{tokens} tokens")
    return ", ".join([*counted, f"${usage.cost_usd:.4f}" if usage.cost_usd else "$0"])


def answer_data(run: str, answer: Answer) -> dict[str, Any]:
    """The answer as one JSON object."""
    data = answer.model_dump(mode="json")
    return {
        "run": run,
        "state": data["state"],
        "answered": data["answered"],
        "text": data["text"],
        "citations": [
            {"number": one["number"], "source": one["source"], "place": one["place"], "quote": one["quote"]}
            for one in data["citations"]
        ],
        "output": data["output"],
        "review": data["review"],
        "escalation": data["escalation"],
        "confidence": data["confidence"],
        "usage": data["usage"],
        "cost_usd": data["usage"]["cost_usd"],
        "playbook": data["playbook"],
        "tasks": data["tasks"],
        "remarks": data["remarks"],
        "reason": data["reason"],
        "retry_in_s": data["retry_in_s"],
    }


def _escalation(escalation: Escalation) -> str:
    lines = [escalation.question, "", escalation.summary]
    for title, points in (("Open:", escalation.open_points), ("You can:", escalation.options)):
        if points:
            lines += ["", title, *(f"- {point}" for point in points)]
    return "\n".join(lines)
