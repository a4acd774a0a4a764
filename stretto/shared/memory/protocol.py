"""Memory: what agents and the command line see of the shared memory, for one tenant."""

from collections.abc import Sequence
from typing import Protocol

from stretto.shared.contracts.memory import Hits, MemoryStats, Record, SourceState

__all__ = ["Memory"]


class Memory(Protocol):
    """One tenant's memory."""

    async def add(self, records: Sequence[Record]) -> int:
        """Store the records whole, in batches; return how many."""
        ...

    async def search(self, query: str, *, scope: Sequence[str] = (), limit: int = 8) -> Hits:
        """The records nearest to `query`, best first; only from the roots in `scope`, if any."""
        ...

    async def get(self, ids: Sequence[str]) -> tuple[Record, ...]:
        """Those of these records that exist."""
        ...

    async def around(self, id_: str, *, reach: int = 1) -> tuple[Record, ...]:
        """The passages next to a record in its document, `reach` on either side, in the document's order; none where it is gone."""
        ...

    async def forget(
        self, *, root: str | None = None, sources: Sequence[str] = (), everything: bool = False, keep_hash: str = ""
    ) -> int:
        """Drop a root, some sources of it, or everything of the tenant; return how many records went.

        Documents with the hash `keep_hash` stay, so that a new version can be written before the old one goes.
        """
        ...

    async def sources(self, *, root: str | None = None) -> tuple[SourceState, ...]:
        """What is stored, document by document; the hash is empty where a document is not whole."""
        ...

    async def stats(self) -> MemoryStats:
        """Counts."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The unit vectors of these texts."""
        ...
