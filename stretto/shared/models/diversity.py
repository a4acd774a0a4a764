"""Diversity: choose what is relevant and not yet said."""

from collections.abc import Callable, Sequence

__all__ = ["choose_diverse", "overlap"]


def choose_diverse(
    relevance: Sequence[float],
    similarity: Callable[[int, int], float],
    *,
    at_most: int,
    balance: float = 0.7,
) -> list[int]:
    """Positions by maximal marginal relevance, the most relevant first.

    Each next one maximises `balance * relevance - (1 - balance) * (its greatest similarity to those already chosen)`: Carbonell and
    Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries", SIGIR 1998.
    """
    chosen: list[int] = []
    rest = list(range(len(relevance)))
    nearest = [0.0] * len(relevance)
    while rest and len(chosen) < at_most:
        best = max(rest, key=lambda one: (balance * relevance[one] - (1 - balance) * nearest[one], -one))
        rest.remove(best)
        chosen.append(best)
        for one in rest:
            nearest[one] = max(nearest[one], similarity(one, best))
    return chosen


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of the smaller set that the other holds, 0 to 1."""
    smaller = min(len(one), len(other))
    return len(one & other) / smaller if smaller else 0.0
