"""Findings: what a researcher found, word for word, and where."""

from typing import Annotated

from pydantic import Field

from stretto.bus.message import Value

__all__ = ["Confidence", "Finding", "Findings", "Quote", "Quotes"]

Confidence = Annotated[float, Field(ge=0, le=1)]
"""From 0 (a guess) to 1 (certain)."""


class Quote(Value):
    """What a model picks from the documents it was given: an exact quote from the document with this id."""

    document: str
    quote: str
    confidence: Confidence = 0.5


class Quotes(Value):
    """A model's reply to a researcher. Empty when the documents do not answer."""

    quotes: tuple[Quote, ...] = ()


class Finding(Value):
    """One exact quote and its place.

    Attributes:
        id: unique in the run; claims refer to it.
        quote: word for word as it stands in the passage.
        source: the document, as people know it.
        place: where in the document: heading path, page or line.
        passage: the memory record it stands in.
        offset: where in the passage it begins, in characters.
    """

    id: str
    quote: str
    source: str
    place: str = ""
    passage: str = ""
    offset: Annotated[int, Field(ge=0)] = 0
    confidence: Confidence = 0.5


class Findings(Value):
    """A researcher's output.

    Attributes:
        question: what was searched for.
        findings: best first; empty when the documents do not answer.
        searched: how many passages were looked at.
    """

    question: str
    findings: tuple[Finding, ...] = ()
    searched: Annotated[int, Field(ge=0)] = 0
    confidence: Confidence = 0.0
