"""Findings: what a researcher found, word for word, and where."""

from typing import Annotated

from pydantic import Field

from stretto.bus.message import Value

__all__ = ["Confidence", "Finding", "Findings", "Inquiry", "Quote", "Quotes"]

Confidence = Annotated[float, Field(ge=0, le=1)]
"""From 0 (a guess) to 1 (certain)."""


class Quote(Value):
    """What a model picks from the documents it was given: an exact quote from the document with this id."""

    document: str
    quote: str
    confidence: Confidence = 0.5


class Quotes(Value):
    """A model's reply to a researcher who gave it passages to read.

    Attributes:
        quotes: none when the passages do not answer.
        covered: nothing of the question is open any more, or nothing is to be gained by looking on.
        searches: what to search for next, each in a few words.
        read_on: ids of passages that break off where the answer goes on.
    """

    quotes: tuple[Quote, ...] = ()
    covered: bool = True
    searches: tuple[str, ...] = ()
    read_on: tuple[str, ...] = ()


class Inquiry(Value):
    """A model's plan of a search: the questions that the request consists of. None where it is one question."""

    questions: tuple[str, ...] = ()


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
        covered: False when the researcher stopped at its limits while parts of the question were open.
    """

    question: str
    findings: tuple[Finding, ...] = ()
    searched: Annotated[int, Field(ge=0)] = 0
    covered: bool = True
    confidence: Confidence = 0.0
