"""Draft: a text in which every claim cites what it rests on."""

from typing import Annotated

from pydantic import Field

from stretto.bus.message import Value
from stretto.shared.contracts.findings import Confidence

__all__ = ["Claim", "Draft", "Outline", "Point"]


class Claim(Value):
    """One sentence and the ids of the findings it rests on."""

    text: Annotated[str, Field(min_length=1)]
    findings: tuple[str, ...] = ()


class Draft(Value):
    """A writer's output.

    Attributes:
        answered: False when the findings do not answer the request; the claims are then empty and `gap` says what is missing.
        title: short, may be empty.
        claims: the text, sentence by sentence, in reading order.
    """

    answered: bool
    title: str = ""
    claims: tuple[Claim, ...] = ()
    gap: str = ""
    confidence: Confidence = 0.5


class Point(Value):
    """What one part of the text is to say, in a few words, and the ids of the findings it can rest on."""

    says: Annotated[str, Field(min_length=1)]
    findings: tuple[str, ...] = ()


class Outline(Value):
    """A model's plan of a draft: its points in reading order."""

    points: tuple[Point, ...] = ()
