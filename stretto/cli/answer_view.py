"""Answer view: how an answer looks: as text for people, and as one JSON object for programs."""

from typing import Any, Final

from stretto.cli.errors import ExitCode
from stretto.cli.terminal import printable
from stretto.shared.contracts.answer import Answer, RunEnd
from stretto.shared.contracts.escalation import Escalation

__all__ = ["answer_data", "answer_text", "exit_code_of", "outcome"]

_EXIT_CODES: Final[dict[RunEnd, ExitCode]] = {
    "completed": ExitCode.OK,
    "failed": ExitCode.FAILED,
    "cancelled": ExitCode.FAILED,
    "rejected": ExitCode.FAILED,
}


def exit_code_of(answer: Answer) -> int:
    """0 for a completed run (an honest "not found in the documents" too), 4 where a person has to decide, else 1."""
    return _EXIT_CODES[answer.state]


def answer_text(answer: Answer) -> str:
    """The answer with its sources, or what a person has to decide; empty for a run that has no answer."""
    if answer.escalation is not None:
        return printable(_escalation(answer.escalation))
    sources = [
        f'[{one.number}] {one.source}{f", {one.place}" if one.place else ""}\n    "{" ".join(one.quote.split())}"'
        for one in answer.citations
    ]
    parts = [answer.text, *(["Sources:\n" + "\n".join(sources)] if sources else [])]
    return printable("\n\n".join(part for part in parts if part))


def outcome(answer: Answer) -> str:
    """How the run ended, and why, in a line."""
    state = answer.state.replace("_", " ")
    if not answer.reason or answer.reason.startswith(state):
        return answer.reason or state
    return f"{state}: {answer.reason}"


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
        "reason": data["reason"],
    }


def _escalation(escalation: Escalation) -> str:
    lines = [escalation.question, "", escalation.summary]
    for title, points in (("Open:", escalation.open_points), ("You can:", escalation.options)):
        if points:
            lines += ["", title, *(f"- {point}" for point in points)]
    return "\n".join(lines)
