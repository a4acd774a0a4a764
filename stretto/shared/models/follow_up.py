"""follow_up: what a short question means after what was asked before it, without a language model."""

from collections.abc import Iterable

from stretto.shared.models.words import content_stems

__all__ = ["with_subject"]

_STANDS_ALONE = 2


def with_subject(question: str, before: Iterable[str]) -> str | None:
    """The question behind the last one of `before` (oldest first) that stands by itself; None where it does so too.

    A question with fewer than two content words ("and from abroad?", "who gets it?") says too little to be searched for.
    """
    if _stands_alone(question):
        return None
    subject = next((one for one in reversed([*before]) if _stands_alone(one)), None)
    return None if subject is None else f"{subject} {question}"


def _stands_alone(question: str) -> bool:
    return len(content_stems(question)) >= _STANDS_ALONE
