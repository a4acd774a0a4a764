"""LocalMemory: one tenant's memory, in the process that owns the store."""

import asyncio
from collections.abc import Sequence

from stretto.bus.subjects import check_token
from stretto.shared.contracts.memory import Hits, MemoryStats, Record, SourceState
from stretto.shared.memory.elements import visible
from stretto.shared.memory.embedder import Embedder
from stretto.shared.memory.errors import MemoryRefused
from stretto.shared.memory.place import heading_of
from stretto.shared.memory.search import hybrid_search
from stretto.shared.memory.store import VectorStore

__all__ = ["LocalMemory"]

_SLICE = 128  # records embedded and stored at once: some two seconds of work, in which searches still come through
_LIMIT = 200


class LocalMemory:
    """A `Memory` of one tenant. The store and the embedder may be shared with other tenants' memories; the caller opens and closes them.

    The work is done in threads. Cancelling a call leaves the wait, not the work: what was handed over is still stored or forgotten.

    Raises:
        StoreUnusable, EmbedderUnusable: by every method, when the store or the embedder does not work.
    """

    def __init__(self, *, tenant: str, store: VectorStore, embedder: Embedder) -> None:
        self._tenant = check_token(tenant, "tenant")
        self._store = store
        self._embedder = embedder

    async def add(self, records: Sequence[Record]) -> int:
        """Store the records whole, in the order given; return how many."""
        for start in range(0, len(records), _SLICE):
            await asyncio.to_thread(self._add, records[start : start + _SLICE])
        return len(records)

    async def search(self, query: str, *, scope: Sequence[str] = (), limit: int = 8) -> Hits:
        """As `hybrid_search`.

        Raises:
            MemoryRefused: the query is blank, or the limit is not between 1 and 200.
        """
        query = visible(query)
        if not query.strip():
            raise MemoryRefused("the query is empty: say what to look for")
        if not 1 <= limit <= _LIMIT:
            raise MemoryRefused(f"a limit of {limit} hits is not possible: use 1 to {_LIMIT}")
        return await asyncio.to_thread(self._search, query, scope, limit)

    async def get(self, ids: Sequence[str]) -> tuple[Record, ...]:
        """Those of these records that exist, in the order asked."""
        return await asyncio.to_thread(self._store.get, self._tenant, ids)

    async def around(self, id_: str, *, reach: int = 1) -> tuple[Record, ...]:
        """The passages next to a record in its document, `reach` on either side, in the document's order; none where it is gone."""
        return await asyncio.to_thread(self._store.around, self._tenant, id_, reach=reach)

    async def forget(
        self, *, root: str | None = None, sources: Sequence[str] = (), everything: bool = False, keep_hash: str = ""
    ) -> int:
        """Drop a root, some sources of it, or everything of the tenant; return how many records went.

        Documents with the hash `keep_hash` stay.

        Raises:
            MemoryRefused: it is not said what to forget, or everything and a part of it at once.
        """
        part = root is not None or bool(sources)
        if everything == part or (everything and keep_hash):
            raise MemoryRefused("say what to forget: a root, sources, or everything")
        if everything:
            return await asyncio.to_thread(self._store.forget_everything, self._tenant)
        return await asyncio.to_thread(
            self._store.forget, self._tenant, root=root, sources=sources, keep_hash=keep_hash
        )

    async def sources(self, *, root: str | None = None) -> tuple[SourceState, ...]:
        """What is stored, document by document; the hash is empty where a document is not whole."""
        return await asyncio.to_thread(self._store.sources, self._tenant, root=root)

    async def stats(self) -> MemoryStats:
        """Counts."""
        return await asyncio.to_thread(self._store.stats, self._tenant)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The unit vectors of these texts."""
        vectors = await asyncio.to_thread(self._embedder.embed, texts)
        rows: list[list[float]] = vectors.tolist()
        return rows

    def _add(self, records: Sequence[Record]) -> None:
        vectors = self._embedder.embed([_embedded(record) for record in records])
        self._store.add(self._tenant, records, vectors)

    def _search(self, query: str, scope: Sequence[str], limit: int) -> Hits:
        vector = self._embedder.embed([query])[0]
        return hybrid_search(self._store, self._tenant, query, vector, scope=scope, limit=limit)


def _embedded(record: Record) -> str:
    """What is embedded of a record: a passage is often understood only under its heading."""
    heading = heading_of(record.place)
    return f"{heading}\n{record.text}" if heading else record.text
