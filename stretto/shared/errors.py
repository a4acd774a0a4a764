"""Why a person's decision on a question does not count.

DecisionRefused
├── QuestionUnknown      no question of the tenant has this id
├── QuestionAmbiguous    several begin so
├── WrongVerb            a question of this kind is not settled in this way
├── QuestionSettled      somebody decided before: `settled` says who, when and how
├── QuestionExpired      nobody decided in time, and the run has gone on without
├── QuestionMoot         the attempt that asked has ended without a decision
└── RunOver              the run that asked has ended
"""

from datetime import datetime

from stretto.shared.contracts.answer import RunEnd
from stretto.shared.contracts.question import Settled

__all__ = [
    "DecisionRefused",
    "QuestionAmbiguous",
    "QuestionExpired",
    "QuestionMoot",
    "QuestionSettled",
    "QuestionUnknown",
    "RunOver",
    "WrongVerb",
]


class DecisionRefused(Exception):
    """The decision does not count; giving it again will not either.

    Attributes:
        question: the id that was given.
    """

    def __init__(self, question: str, message: str) -> None:
        super().__init__(message)
        self.question = question


class QuestionUnknown(DecisionRefused):
    """No question of the tenant has this id."""

    def __init__(self, question: str, tenant: str) -> None:
        super().__init__(question, f"tenant {tenant} has no question {question}: see `stretto inbox list`")


class QuestionAmbiguous(DecisionRefused):
    """Several questions begin so.

    Attributes:
        candidates: their ids.
    """

    def __init__(self, question: str, candidates: tuple[str, ...]) -> None:
        named = ", ".join(candidates[:5]) + (f" and {len(candidates) - 5} more" if len(candidates) > 5 else "")
        super().__init__(question, f"several questions begin with {question}: {named}")
        self.candidates = candidates


class WrongVerb(DecisionRefused):
    """A question of this kind is not settled in this way."""

    def __init__(self, question: str, verb: str) -> None:
        super().__init__(
            question, f"question {question} asks for an approval: approve or reject it, it takes no {verb}"
        )


class QuestionSettled(DecisionRefused):
    """Somebody decided before.

    Attributes:
        settled: who, when and how.
    """

    def __init__(self, question: str, settled: Settled) -> None:
        words = f": {' '.join(settled.text.split())[:200]!r}" if settled.text else ""
        super().__init__(
            question,
            f"question {question} is already settled: {settled.principal} {settled.outcome} it at "
            f"{_shown(settled.at)}{words}",
        )
        self.settled = settled


class QuestionExpired(DecisionRefused):
    """Nobody decided in time, and the run has gone on without.

    Attributes:
        at: when its time was over, by the server's clock.
    """

    def __init__(self, question: str, at: datetime) -> None:
        super().__init__(question, f"question {question} expired at {_shown(at)}: nobody had decided by then")
        self.at = at


class QuestionMoot(DecisionRefused):
    """The attempt that asked has ended without a decision."""

    def __init__(self, question: str, task: str) -> None:
        super().__init__(
            question, f"question {question} is open no more: task {task}, which asked it, has gone on without"
        )


class RunOver(DecisionRefused):
    """The run that asked has ended.

    Attributes:
        run, state: which run, and how it ended.
    """

    def __init__(self, question: str, run: str, state: RunEnd) -> None:
        super().__init__(question, f"question {question} is open no more: run {run} is over ({state})")
        self.run = run
        self.state: RunEnd = state


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
