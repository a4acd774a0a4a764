"""draft_rules: what can be checked in a draft without a model: grounding, style and repetition, claim by claim."""

import re
from collections.abc import Iterator, Mapping, Sequence

from stretto.shared.contracts.draft import Claim
from stretto.shared.contracts.review import ReviewNote
from stretto.shared.models.diversity import overlap
from stretto.shared.models.words import content_stems

__all__ = ["GROUNDED_FROM", "MAX_CLAIM_WORDS", "check_claims", "grounding_of"]

GROUNDED_FROM = 0.5
"""The least share of a claim's content words that its findings must have: room to rephrase, none to invent."""

MAX_CLAIM_WORDS = 120
_SAME_FROM = 0.9
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_CODE = re.compile(r"`[^`]*`|\n(?:.*\n?)*")
_END = re.compile(r"[.!?…:`][\"'\u201d\u2019)\]]*$")


def check_claims(claims: Sequence[Claim], findings: Mapping[str, str]) -> tuple[ReviewNote, ...]:
    """All that is wrong with the claims; `findings` are texts by id."""
    notes: list[ReviewNote] = []
    for position, claim in enumerate(claims):
        notes += _grounding(position, claim, findings)
        notes += _style(position, claim)
        notes += _repetition(position, claims)
    return tuple(notes)


def grounding_of(claim: str, texts: Sequence[str]) -> float:
    """The share of the claim's content words that the texts have, 0 to 1; 1 for a claim without any."""
    words = content_stems(claim)
    given = content_stems("\n".join(texts))
    return len(words & given) / len(words) if words else 1.0


def _grounding(position: int, claim: Claim, findings: Mapping[str, str]) -> Iterator[ReviewNote]:
    def note(problem: str) -> ReviewNote:
        return ReviewNote(claim=position, rule="grounding", problem=problem)

    if not claim.findings:
        yield note("it cites no finding: cite what it rests on, or leave it out")
        return
    if unknown := [one for one in claim.findings if one not in findings]:
        yield note(f"it cites {', '.join(unknown)}, which nobody found")
    texts = [findings[one] for one in claim.findings if one in findings]
    if not texts:
        return
    share = grounding_of(claim.text, texts)
    if share < GROUNDED_FROM:
        yield note(f"only {share:.0%} of its words stand in the findings it cites: keep to what they say")
    numbers = {number for text in texts for number in _NUMBER.findall(text)}
    if foreign := [number for number in _NUMBER.findall(claim.text) if number not in numbers]:
        yield note(f"the findings it cites do not say {', '.join(foreign)}")


def _style(position: int, claim: Claim) -> Iterator[ReviewNote]:
    def note(problem: str) -> ReviewNote:
        return ReviewNote(claim=position, rule="style", problem=problem)

    prose = _CODE.sub(" ", claim.text)
    words = len(prose.split())
    if words > MAX_CLAIM_WORDS:
        yield note(f"it has {words} words, and {MAX_CLAIM_WORDS} are allowed: split it")
    if "\n" not in claim.text and not _END.search(claim.text.rstrip()):
        yield note("it does not end as a sentence does")
    if not re.search(r"\w", claim.text):
        yield note("it has no words")


def _repetition(position: int, claims: Sequence[Claim]) -> Iterator[ReviewNote]:
    words = content_stems(claims[position].text)
    for earlier in range(position):
        others = content_stems(claims[earlier].text)
        if len(words) > 2 and len(others) > 2 and overlap(words, others) >= _SAME_FROM:
            yield ReviewNote(
                claim=position, rule="style", problem=f"it says the same as claim {earlier + 1}: keep one of them"
            )
            return
