"""Review: the verdict on a draft, with reasons."""

from typing import Annotated, Literal

from pydantic import Field

from stretto.bus.message import Value
from stretto.shared.contracts.findings import Confidence

__all__ = ["ClaimCheck", "Review", "ReviewNote", "Verdict"]

Verdict = Literal["approve", "revise", "reject"]


class ReviewNote(Value):
    """One thing to change.

    Attributes:
        claim: position of the claim in the draft, from 0; None for the draft as a whole.
        rule: what was checked.
        problem: what is wrong and what would mend it.
    """

    claim: Annotated[int, Field(ge=0)] | None = None
    rule: Literal["grounding", "style", "completeness"]
    problem: str


class ClaimCheck(Value):
    """Whether a claim says what its findings say.

    Attributes:
        claim: its position in the draft, from 0.
        problem: what the findings do not say, or say otherwise; empty where they bear it out.
    """

    claim: Annotated[int, Field(ge=0)]
    supported: bool
    problem: str = ""


class Review(Value):
    """A reviewer's output. `revise` and `reject` carry at least one note.

    Attributes:
        checks: claim by claim, where a model that can reason checked them.
    """

    verdict: Verdict
    reasons: str = ""
    notes: tuple[ReviewNote, ...] = ()
    checks: tuple[ClaimCheck, ...] = ()
    confidence: Confidence = 0.5
