"""Judgement: what rules and models say of a draft, put together to one review."""

from collections.abc import Sequence

from stretto.shared.contracts.review import ClaimCheck, Review, ReviewNote, Verdict

__all__ = ["Judgement"]


class Judgement:
    """Collects reviews of parts of a draft. The strictest verdict holds, and any fault makes it at least `revise`.

    Args:
        claims: how many the draft has.
        faults: what the rules find: no review can take it back.
    """

    def __init__(self, *, claims: int, faults: Sequence[ReviewNote]) -> None:
        self.claims = claims
        self._faults = tuple(faults)
        self._reviews: list[Review] = []
        self._checks: dict[int, ClaimCheck] = {}
        self._settled: set[int] = set()

    @property
    def unchecked(self) -> list[int]:
        """The claims that no review has settled yet."""
        return [claim for claim in range(self.claims) if claim not in self._settled]

    def add(self, review: Review, *, claims: range, checked: bool) -> None:
        """Take in a review of these claims.

        Args:
            checked: whoever gave it checks all claims without telling of each.
        """
        self._reviews.append(review)
        for check in review.checks:
            if check.claim in claims:
                earlier = self._checks.get(check.claim)
                if earlier is None or earlier.supported:
                    self._checks[check.claim] = check
                self._settled.add(check.claim)
        if checked:
            self._settled |= set(claims)

    def review(self) -> Review:
        """The one review: the rules' notes, then those on single claims, then the others, each once."""
        faults = dict.fromkeys((*self._faults, *self._unsupported(), *self._not_checked()))
        others = [
            note
            for review in self._reviews
            if review.verdict != "approve"
            for note in review.notes
            if note not in faults and (note.claim is None or note.claim < self.claims)
        ]
        verdict = self._strictest()
        reasons = next((one.reasons for one in self._reviews if one.verdict == verdict), "")
        notes = tuple(dict.fromkeys((*faults, *others)))
        if verdict == "approve" and notes:
            verdict = "revise"
            reasons = f"{len(notes)} fault{'' if len(notes) == 1 else 's'} found claim by claim."
        if verdict != "approve" and not notes:
            notes = (ReviewNote(rule="completeness", problem=reasons or "the reviewer does not approve the draft"),)
        return Review(
            verdict=verdict,
            reasons=reasons,
            notes=notes,
            checks=tuple(self._checks[claim] for claim in sorted(self._checks)),
            confidence=min((one.confidence for one in self._reviews), default=0.5),
        )

    def _strictest(self) -> Verdict:
        given = {one.verdict for one in self._reviews}
        return "reject" if "reject" in given else "revise" if "revise" in given else "approve"

    def _unsupported(self) -> list[ReviewNote]:
        return [
            ReviewNote(
                claim=claim,
                rule="grounding",
                problem=check.problem or "the findings it cites do not bear it out: keep to what they say",
            )
            for claim, check in sorted(self._checks.items())
            if not check.supported
        ]

    def _not_checked(self) -> list[ReviewNote]:
        problem = "the reviewer could not say whether its findings bear it out: say it more plainly, or leave it out"
        return [ReviewNote(claim=claim, rule="grounding", problem=problem) for claim in self.unchecked]
