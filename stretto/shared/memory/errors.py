"""The memory's errors.

MemoryFailed
├── MemoryUnavailable   the service does not answer now: try again
├── MemoryRefused       the service will always refuse this
└── StoreUnusable       the vector store cannot be opened: a person must change something
"""


class MemoryFailed(Exception):
    """Root of all errors of the shared memory."""


class MemoryUnavailable(MemoryFailed):
    """The memory service does not answer now."""


class MemoryRefused(MemoryFailed):
    """The memory service will always refuse this call."""


class StoreUnusable(MemoryFailed):
    """The vector store cannot be opened."""
