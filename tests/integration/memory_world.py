"""What the memory's tests share: a quick embedder, records, and documents."""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from stretto.shared.contracts.memory import Record

__all__ = ["WordEmbedder", "record"]


class WordEmbedder:
    """An embedder that knows only which words a text has: quick, and near where texts share words."""

    def __init__(self, *, name: str = "words", dimensions: int = 64) -> None:
        self.name = name
        self.dimensions = dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row, 0] = 0.1
            for word in re.findall(r"\w+", text.casefold()):
                vectors[row, int(hashlib.sha256(word.encode()).hexdigest(), 16) % self.dimensions] += 1
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def record(
    id_: str, text: str, *, root: str = "/docs", source: str = "docs/a.md", ordinal: int = 0, hash_: str = "h"
) -> Record:
    """A record with something in every field."""
    return Record(
        id=id_,
        text=text,
        root=root,
        source=source,
        place="Heading > Further, line 3",
        ordinal=ordinal,
        writer="ann",
        trust="low",
        hash=hash_,
        added_at=datetime(2025, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC),
    )
