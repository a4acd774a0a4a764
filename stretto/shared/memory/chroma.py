"""How ChromaDB is opened and spoken to: its lock, its settings, its errors, its names."""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stretto.bus.subjects import check_token
from stretto.shared.memory.errors import StoreUnusable

if TYPE_CHECKING:
    from chromadb import Collection, Where
    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateCollectionConfiguration
    from filelock import BaseFileLock

__all__ = ["collection_name", "errors_translated", "lock_directory", "open_client", "open_collection", "where"]

# Cosine. More links and a wider search than Chroma's defaults (16, 100, 100), with which records in the middle of many alike were in the
# store and not found: 140 of 5,400 in a measurement, none with these. They cost a millisecond a record when it is added.
_CONFIGURATION: "CreateCollectionConfiguration" = {
    "hnsw": {"space": "cosine", "max_neighbors": 48, "ef_construction": 400, "ef_search": 300}
}


def lock_directory(directory: Path) -> "BaseFileLock":
    """Make the directory if it is not there, and lock it against other processes until the lock is released or this process dies.

    Raises:
        StoreUnusable: it cannot be made or written, or another process has it.
    """
    try:
        import filelock
    except ImportError as error:
        raise _missing(error) from error
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(directory / "lock", fallback_to_soft=False)
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise StoreUnusable(
            f"another process already has the memory in {directory} open: use that one (it is reached over the bus), stop it, or name "
            "another data directory (STRETTO_DATA_DIR)"
        ) from error
    except OSError as error:
        raise StoreUnusable(
            f"the memory's directory {directory} cannot be used ({error.strerror or error}): make it writable, or name another data "
            "directory (STRETTO_DATA_DIR)"
        ) from error
    return lock


def open_client(directory: Path) -> "Client":
    """Open ChromaDB on a directory that this process has locked: no telemetry, nothing downloaded, no port.

    Raises:
        StoreUnusable: ChromaDB is not installed, or what is in the directory cannot be read.
    """
    try:
        from chromadb.api import ServerAPI
        from chromadb.api.client import Client
        from chromadb.config import Settings, System
    except ImportError as error:
        raise _missing(error) from error
    settings = Settings(is_persistent=True, persist_directory=str(directory / "chroma"), anonymized_telemetry=False)
    # The steps of chromadb.PersistentClient, which would keep a system that did not start, for the next one who opens the directory.
    system = System(settings)
    system.instance(ServerAPI)  # type: ignore[type-abstract]  # the key under which Chroma looks up its own class
    with errors_translated(directory):
        system.start()
        return Client.from_system(system)


def collection_name(tenant: str, *, embedder: str = "", dimensions: int = 0) -> str:
    """The name of a tenant's collection for one embedder; without an embedder, what the names of all its collections begin with.

    A tenant is a token without dots, so no tenant's names begin with another's.

    Raises:
        ValueError: the tenant is no token.
    """
    prefix = f"tenant.{check_token(tenant, 'tenant')}."
    return prefix + hashlib.sha256(f"{embedder}:{dimensions}".encode()).hexdigest()[:12] if embedder else prefix


def open_collection(client: "Client", name: str) -> "Collection":
    """The collection of this name, made if it is not there.

    Raises:
        StoreUnusable: a stored one has an embedding function: it is not ours, and building it would run what the file says.
    """
    collection = client.get_or_create_collection(name, embedding_function=None, configuration=_CONFIGURATION)
    stored = collection.configuration_json.get("embedding_function")
    if stored is not None and stored.get("type") != "legacy":  # "legacy" is how Chroma writes down that there is none
        raise StoreUnusable(
            f"the collection {name} in the vector store has an embedding function of its own ({stored.get('name')}), so Stretto did "
            "not write it: move the memory's directory away and add the documents again"
        )
    return collection


def where(*, roots: Sequence[str] = (), sources: Sequence[str] = ()) -> "Where | None":
    """The filter for some roots, some sources, or sources of roots."""
    conditions: list[Where] = []
    for name, values in (("root", roots), ("source", sources)):
        if values:
            any_of: dict[Literal["$in", "$nin"], list[str | int | float | bool]] = {"$in": [*values]}
            conditions.append({name: any_of})
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return {"$and": conditions}


@contextmanager
def errors_translated(directory: Path) -> Generator[None]:
    """Turn Chroma's errors into ours.

    Raises:
        StoreUnusable: Chroma cannot read or write its files.
    """
    from chromadb.errors import ChromaError

    try:
        yield
    except ChromaError as error:
        raise StoreUnusable(
            f"the vector store in {directory} cannot be read or written ({error}): check the disk's space and the directory's rights; "
            "if its files are damaged, move the directory away and add the documents again"
        ) from error


def _missing(error: ImportError) -> StoreUnusable:
    return StoreUnusable(f"the vector store needs the package {error.name}: pip install 'stretto[memory]'")
