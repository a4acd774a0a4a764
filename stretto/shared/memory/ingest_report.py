"""IngestReport: what an ingest does and did, for whoever watches it."""

from dataclasses import dataclass

__all__ = ["Failure", "IngestProgress", "IngestReport"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that was not read; what the memory had of it before stays."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far an ingest is.

    Attributes:
        done: documents dealt with, of `total`.
        passages: stored so far.
        source: the document at hand.
    """

    done: int
    total: int
    passages: int
    source: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did, counted in documents.

    Attributes:
        root: under which the documents are stored: what a search's scope names.
        unchanged: skipped, because the memory has them whole with the same hash.
        empty: read, but blank.
        ignored: files that are no documents: see `Walk.ignored`.
        pruned: forgotten, because they are no longer there.
        passages: how many were stored.
    """

    root: str
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    empty: int = 0
    ignored: int = 0
    pruned: int = 0
    failed: tuple[Failure, ...] = ()
    passages: int = 0
