"""VectorStore: the one owner of an embedded ChromaDB, for all tenants."""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stretto.shared.contracts.memory import MemoryStats, Record, SourceState
from stretto.shared.memory.catalogue import Catalogue
from stretto.shared.memory.chroma import (
    collection_name,
    errors_translated,
    lock_directory,
    open_client,
    open_collection,
    where,
)
from stretto.shared.memory.errors import StoreUnusable
from stretto.shared.memory.rows import PAGE, every_record, metadata_of, records_of

if TYPE_CHECKING:
    import numpy as np
    from chromadb import Collection, QueryResult
    from chromadb.api.client import Client
    from filelock import BaseFileLock
    from numpy.typing import NDArray

__all__ = ["VectorStore"]


class VectorStore:
    """Records and their vectors, in one collection a tenant, under one directory.

    Several processes on one Chroma directory damage it without an error: so a lock file makes sure that there is one, and only the
    memory service opens it. Calls block and may come from several threads: they are done one after another.

    A collection's name also tells the embedder: vectors of two embedders never meet. Records that another embedder wrote are not
    seen until they are written again, but they are forgotten with the others.

    Args:
        directory: made if it is not there.
        embedder: the name of the embedder whose vectors are stored.
        dimensions: how long its vectors are.

    Raises:
        StoreUnusable: by every method, when the directory cannot be read or written, its disk is full, or another process owns it.
    """

    def __init__(self, directory: Path, *, embedder: str, dimensions: int) -> None:
        self._directory = directory
        self._embedder = embedder
        self._dimensions = dimensions
        self._mutex = threading.RLock()
        self._file_lock: BaseFileLock | None = None
        self._client: Client | None = None
        self._collections: dict[str, Collection] = {}
        self._catalogues: dict[str, Catalogue] = {}

    def __enter__(self) -> "VectorStore":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Lock the directory and open it."""
        with self._mutex:
            if self._file_lock is None:
                self._file_lock = lock_directory(self._directory)
                try:
                    self._client = open_client(self._directory)
                except BaseException:
                    self.close()
                    raise

    def close(self) -> None:
        """Close and unlock the directory; a second call does nothing."""
        with self._mutex:
            self._close_client()
            if self._file_lock is not None:
                self._file_lock.release()
                self._file_lock = None

    def add(self, tenant: str, records: Sequence[Record], vectors: "NDArray[np.float32]") -> None:
        """Store each record whole with its vector, in place of the one with its id.

        They are stored in the order given: after a crash, a later one is there only if all before it are.
        """
        rows = {record.id: row for row, record in enumerate(records)}  # of those with one id, the last
        order = sorted(rows.values())
        with self._writing(tenant) as (collection, catalogue):
            for start in range(0, len(order), PAGE):
                page = order[start : start + PAGE]
                written = [records[row] for row in page]
                collection.upsert(
                    ids=[record.id for record in written],
                    embeddings=vectors[page],
                    documents=[record.text for record in written],
                    metadatas=[metadata_of(record) for record in written],
                )
                catalogue.put(written)

    def get(self, tenant: str, ids: Sequence[str]) -> tuple[Record, ...]:
        """Those of these records that exist, in the order asked."""
        wanted = list(dict.fromkeys(ids))
        with self._reading(tenant) as (collection, _):
            found = {
                record.id: record
                for start in range(0, len(wanted), PAGE)
                for record in records_of(
                    collection.get(ids=wanted[start : start + PAGE], include=["documents", "metadatas"])
                )
            }
        return tuple(found[one] for one in wanted if one in found)

    def around(self, tenant: str, id_: str, *, reach: int) -> tuple[Record, ...]:
        """The passages next to a record in its document, `reach` on either side, in the document's order."""
        with self._reading(tenant) as (_, catalogue):
            return self.get(tenant, catalogue.around(id_, reach=reach))

    def forget(self, tenant: str, *, root: str | None = None, sources: Sequence[str] = (), keep_hash: str = "") -> int:
        """Drop a root, some sources, or some sources of a root; return how many records went.

        Documents with the hash `keep_hash` stay, so that a new version can be written before the old one goes.
        """
        roots = [root] if root is not None else []
        with self._writing(tenant) as (collection, catalogue):
            ids = catalogue.ids(root=root, sources=sources, keep_hash=keep_hash)
            for start in range(0, len(ids), PAGE):
                collection.delete(ids=ids[start : start + PAGE])
            catalogue.drop(ids)
            count = len(ids)
            if not keep_hash:
                for other in self._every_collection(tenant):
                    if other.name != collection.name:
                        count += other.delete(where=where(roots=roots, sources=sources))["deleted"]
        return count

    def forget_everything(self, tenant: str) -> int:
        """Drop all that the tenant has, by whatever embedder; return how many records went."""
        with self._opened() as client:
            self._drop_cache(tenant)
            count = 0
            for collection in self._every_collection(tenant):
                count += collection.count()
                client.delete_collection(collection.name)
        return count

    def nearest(
        self, tenant: str, vector: "NDArray[np.float32]", *, roots: Sequence[str], limit: int
    ) -> list[tuple[str, float]]:
        """Ids and cosines of the records nearest to a unit vector, nearest first; from these roots, if any."""
        with self._reading(tenant) as (collection, catalogue):
            # A filter costs by the number of records it lets through: none is needed where it would let all through.
            filtered = bool(roots) and not set(catalogue.roots()) <= set(roots)
            found = collection.query(
                query_embeddings=vector[None, :],
                n_results=max(1, min(limit, catalogue.count(roots))),
                where=where(roots=roots) if filtered else None,
                include=["distances"],
            )
        return _cosines(found)

    def similarities(self, tenant: str, vector: "NDArray[np.float32]", ids: Sequence[str]) -> dict[str, float]:
        """The cosine of a unit vector with each of these records that exists."""
        if not ids:
            return {}
        with self._reading(tenant) as (collection, _):
            found = collection.get(ids=list(ids), include=["embeddings"])
        stored = found["embeddings"]
        if stored is None:
            return {}
        return {id_: _cosine(float(vector @ one)) for id_, one in zip(found["ids"], stored, strict=True)}

    def rank(self, tenant: str, query: str, *, roots: Sequence[str], limit: int) -> list[str]:
        """The ids of the records with the query's words, best first; from these roots, if any."""
        with self._reading(tenant) as (_, catalogue):
            return catalogue.rank(query, roots=roots, limit=limit)

    def count(self, tenant: str, *, roots: Sequence[str] = ()) -> int:
        """How many records the tenant has, in these roots, if any."""
        with self._reading(tenant) as (_, catalogue):
            return catalogue.count(roots)

    def sources(self, tenant: str, *, root: str | None = None) -> tuple[SourceState, ...]:
        """The tenant's documents, of a root or all; see `Catalogue.sources`."""
        with self._reading(tenant) as (_, catalogue):
            return catalogue.sources(root)

    def stats(self, tenant: str) -> MemoryStats:
        """The tenant's counts."""
        with self._reading(tenant) as (_, catalogue):
            return MemoryStats(
                records=catalogue.count(),
                sources=len(catalogue.sources()),
                roots=catalogue.roots(),
                embedder=self._embedder,
                dimensions=self._dimensions,
            )

    @contextmanager
    def _opened(self) -> "Generator[Client]":
        with self._mutex:
            if self._file_lock is None:
                raise StoreUnusable(f"the vector store in {self._directory} is closed")
            if self._client is None:
                self._client = open_client(self._directory)
            try:
                with errors_translated(self._directory):
                    yield self._client
            except StoreUnusable:
                # After a full disk Chroma may keep a transaction open for which every later write waits, for ever. A new client, which
                # the next call opens, is rid of it.
                self._close_client()
                raise

    @contextmanager
    def _reading(self, tenant: str) -> "Generator[tuple[Collection, Catalogue]]":
        with self._opened() as client:
            if tenant not in self._collections:
                name = collection_name(tenant, embedder=self._embedder, dimensions=self._dimensions)
                collection = open_collection(client, name)
                self._catalogues[tenant] = Catalogue(every_record(collection))
                self._collections[tenant] = collection
            yield self._collections[tenant], self._catalogues[tenant]

    @contextmanager
    def _writing(self, tenant: str) -> "Generator[tuple[Collection, Catalogue]]":
        with self._reading(tenant) as opened:
            try:
                yield opened
            except BaseException:
                self._drop_cache(tenant)  # how far the write went is not known: it is read again
                raise

    def _close_client(self) -> None:
        for tenant in list(self._collections):
            self._drop_cache(tenant)
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _drop_cache(self, tenant: str) -> None:
        if self._collections.pop(tenant, None) is not None:
            self._catalogues.pop(tenant).close()

    def _every_collection(self, tenant: str) -> "list[Collection]":
        with self._opened() as client:
            return [one for one in client.list_collections() if one.name.startswith(collection_name(tenant))]


def _cosines(found: "QueryResult") -> list[tuple[str, float]]:
    distances = (found["distances"] or [[]])[0]
    pairs = [(id_, _cosine(1.0 - float(distance))) for id_, distance in zip(found["ids"][0], distances, strict=True)]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def _cosine(value: float) -> float:
    return max(-1.0, min(1.0, value))  # rounding may lead a little out
