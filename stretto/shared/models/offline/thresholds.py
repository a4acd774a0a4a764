"""Thresholds: from which relevance on the offline model answers, and what it adds to the best piece.

Calibrated with 140 questions on the documentation of ten packages and on a small handbook; they belong to the weights in `relevance`
and to all-MiniLM-L6-v2.
"""

__all__ = ["answers_from", "fits_from"]

_ANSWERS = 0.40
_ANSWERS_BY_WORDS = 0.50
_NEAR_BEST = 0.8


def answers_from(*, with_meaning: bool) -> float:
    """The least relevance of a best piece that counts as an answer."""
    return _ANSWERS if with_meaning else _ANSWERS_BY_WORDS


def fits_from(best: float, *, with_meaning: bool) -> float:
    """The least relevance of what may stand beside the best piece."""
    return max(best * _NEAR_BEST, 0.9 * answers_from(with_meaning=with_meaning))
