"""The memory's errors, split by what the caller does next.

MemoryFailed
├── MemoryUnavailable   the service does not answer now: try again
├── MemoryRefused       the service will always refuse this
├── StoreUnusable       the vector store cannot be opened, read or written: a person must change something
├── EmbedderUnusable    the embedder cannot be loaded: a person must change something
├── NothingToRead       the path given for ingest does not exist or holds no readable document
└── Unreadable          one document cannot be read; the text says why
"""

__all__ = [
    "EmbedderUnusable",
    "MemoryFailed",
    "MemoryRefused",
    "MemoryUnavailable",
    "NothingToRead",
    "StoreUnusable",
    "Unreadable",
]


class MemoryFailed(Exception):
    """Root of all errors of the shared memory."""


class MemoryUnavailable(MemoryFailed):
    """The memory service does not answer now."""


class MemoryRefused(MemoryFailed):
    """The memory service will always refuse this call."""


class StoreUnusable(MemoryFailed):
    """The vector store cannot be opened, read or written."""


class EmbedderUnusable(MemoryFailed):
    """The embedder cannot be loaded."""


class NothingToRead(MemoryFailed):
    """The path given for ingest does not exist, or holds no readable document."""


class Unreadable(MemoryFailed):
    """One document cannot be read."""
