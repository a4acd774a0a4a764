"""Hybrid search: the ranking by meaning and the ranking by words, fused into one."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stretto.shared.contracts.memory import Hit, Hits, Record
from stretto.shared.memory.store import VectorStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["fuse", "hybrid_search"]

_K = 60  # of the fusion: how slowly a rank loses weight; the paper's value
_WORD = re.compile(r"\w+")


def hybrid_search(
    store: VectorStore,
    tenant: str,
    query: str,
    vector: "NDArray[np.float32]",
    *,
    scope: Sequence[str] = (),
    limit: int = 8,
) -> Hits:
    """The tenant's records nearest to `query` by its unit vector and by its words, best first; from the roots in `scope`, if any.

    The order is the same every time: ties go by id. Of passages that say the same word for word, only the best is a hit.
    """
    depth = max(40, 4 * limit)
    cosines = store.nearest(tenant, vector, roots=scope, limit=depth)
    worded = store.rank(tenant, query, roots=scope, limit=depth)
    scores = fuse([[id_ for id_, _ in cosines], worded])
    ranked = sorted(scores, key=lambda id_: (-scores[id_], id_))
    kept = list(_without_repeats(store.get(tenant, ranked), limit))
    similarity = dict(cosines)
    similarity |= store.similarities(tenant, vector, [one.id for one in kept if one.id not in similarity])
    # What another thread forgot since it was ranked has no similarity any more.
    hits = tuple(
        Hit(record=one, score=scores[one.id], similarity=similarity[one.id]) for one in kept if one.id in similarity
    )
    return Hits(hits=hits, searched=store.count(tenant, roots=scope))


def fuse(rankings: Sequence[Sequence[str]]) -> dict[str, float]:
    """Reciprocal rank fusion: each ranking gives an id 1 / (60 + its rank, from 1), and the gifts are added.

    Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods",
    SIGIR 2009. Ranks are comparable where cosines and BM25 scores are not.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, id_ in enumerate(ranking, start=1):
            scores[id_] = scores.get(id_, 0.0) + 1.0 / (_K + rank)
    return scores


def _without_repeats(records: Sequence[Record], limit: int) -> Iterator[Record]:
    # Only what a better hit already says word for word is a repeat (case, spacing and punctuation aside): texts that are merely
    # alike may differ in the one figure or the one "not" that was asked for.
    said: list[str] = []
    for record in records:
        words = f" {' '.join(_WORD.findall(record.text.casefold()))} "
        if len(said) == limit:
            return
        if not any(words in better for better in said):
            said.append(words)
            yield record
