"""Rows: how a record is kept in a collection of ChromaDB."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stretto.shared.contracts.memory import Record

if TYPE_CHECKING:
    from chromadb import Collection, GetResult

__all__ = ["PAGE", "every_record", "metadata_of", "records_of"]

PAGE = 2_000
"""Records read or written in one call; Chroma's own limit is 5,461."""


def metadata_of(record: Record) -> dict[str, str]:
    """What is kept of a record beside its id, text and vector."""
    # Root and source are filtered by. All else is one JSON text: Chroma keeps a row a key, and reads half as fast with eight of them.
    rest = record.model_dump_json(exclude={"id", "text", "root", "source"})
    return {"root": record.root, "source": record.source, "record": rest}


def every_record(collection: "Collection") -> Iterator[Record]:
    """All records of a collection, page by page."""
    total = collection.count()
    for start in range(0, total, PAGE):
        yield from records_of(collection.get(limit=PAGE, offset=start, include=["documents", "metadatas"]))


def records_of(found: "GetResult") -> list[Record]:
    """The records of a reply with documents and metadata."""
    return [
        Record.model_validate({"id": id_, "text": text, **metadata, **json.loads(str(metadata["record"]))})
        for id_, text, metadata in zip(found["ids"], found["documents"] or [], found["metadatas"] or [], strict=True)
    ]
