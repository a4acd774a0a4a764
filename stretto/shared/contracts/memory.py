"""The messages of the memory service: records, queries and hits."""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from stretto.bus.message import Message, Value

__all__ = [
    "AddRecords",
    "AroundRecord",
    "EmbedTexts",
    "ForgetRecords",
    "GetRecords",
    "Hit",
    "Hits",
    "MemoryDone",
    "MemoryFailure",
    "MemoryStats",
    "Record",
    "Records",
    "SearchMemory",
    "SourceState",
    "Sources",
    "StatMemory",
    "Trust",
    "Vectors",
]

Trust = Literal["low", "normal", "high"]


class Record(Value):
    """One passage. Written whole, never merged.

    Attributes:
        id: derived from root, source, place and text, so that the same passage is the same record.
        root: the document set it belongs to, as given by whoever added it (for a folder: its resolved path).
        source: the document, relative to the root, as people know it.
        place: where in the document: heading path and line, page or paragraph.
        ordinal: position of the passage in the document, from 0.
        writer: the principal or agent that added it.
        hash: SHA-256 of the whole document it was cut from, in hex.
    """

    id: Annotated[str, Field(min_length=1, max_length=128)]
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    root: str
    source: str
    place: str = ""
    ordinal: Annotated[int, Field(ge=0)] = 0
    writer: str
    trust: Trust = "normal"
    hash: str = ""
    added_at: AwareDatetime


class Records(Message):
    """Reply to `get` (those that exist, in the order asked) and `around`."""

    TYPE: ClassVar[str] = "memory.records"
    records: tuple[Record, ...] = ()


class AddRecords(Message):
    """`add`: store these records whole, replacing those with the same id."""

    TYPE: ClassVar[str] = "memory.add"
    records: Annotated[tuple[Record, ...], Field(min_length=1, max_length=512)]


class GetRecords(Message):
    """`get`: records by id."""

    TYPE: ClassVar[str] = "memory.get"
    ids: tuple[str, ...] = ()


class AroundRecord(Message):
    """`around`: the passages that stand next to a record in its document, in the document's order, without itself.

    Attributes:
        reach: how many on either side.
    """

    TYPE: ClassVar[str] = "memory.around"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    reach: Annotated[int, Field(ge=1, le=20)] = 1


class SearchMemory(Message):
    """`search`: the records nearest to `query`, by meaning and by words.

    Attributes:
        scope: only these roots; empty for all.
        limit: how many hits at the most.
    """

    TYPE: ClassVar[str] = "memory.search"
    query: Annotated[str, Field(min_length=1, max_length=32_000)]
    scope: tuple[str, ...] = ()
    limit: Annotated[int, Field(ge=1, le=200)] = 8


class Hit(Value):
    """A record and how well it fits: `similarity` is the vectors' cosine, `score` the fused rank score (higher is better)."""

    record: Record
    score: float
    similarity: Annotated[float, Field(ge=-1, le=1)]


class Hits(Message):
    """Reply to `search`: best first."""

    TYPE: ClassVar[str] = "memory.hits"
    hits: tuple[Hit, ...] = ()
    searched: int = 0


class ForgetRecords(Message):
    """`forget`: drop the records of a root, or of some sources in it, or all of the tenant's (`everything`).

    Attributes:
        keep_hash: documents with this hash stay, so that a new version can be written before the old one goes.
    """

    TYPE: ClassVar[str] = "memory.forget"
    root: str | None = None
    sources: tuple[str, ...] = ()
    everything: bool = False
    keep_hash: str = ""


class SourceState(Value):
    """One stored document: how many passages, and the hash it had when it was cut (empty where the document is not whole)."""

    root: str
    source: str
    hash: str
    passages: int


class Sources(Message):
    """Reply to `sources`: a page of them, ordered by root and source; `more` when there are others behind it."""

    TYPE: ClassVar[str] = "memory.sources"
    sources: tuple[SourceState, ...] = ()
    more: bool = False


class StatMemory(Message):
    """`stats` (counts) and `sources` (stored documents): of one root, or of all.

    Attributes:
        offset: how many sources to leave out: those of the pages before.
    """

    TYPE: ClassVar[str] = "memory.stat"
    root: str | None = None
    offset: Annotated[int, Field(ge=0)] = 0


class MemoryStats(Message):
    """Reply to `stats`."""

    TYPE: ClassVar[str] = "memory.stats"
    records: int
    sources: int
    roots: tuple[str, ...] = ()
    embedder: str
    dimensions: int


class EmbedTexts(Message):
    """`embed`: the vectors of these texts, for whoever has no embedder of its own."""

    TYPE: ClassVar[str] = "memory.embed"
    texts: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]


class Vectors(Message):
    """Reply to `embed`: unit vectors, float32 little endian, one after another."""

    TYPE: ClassVar[str] = "memory.vectors"
    dimensions: int
    data: bytes


class MemoryDone(Message):
    """Reply to `add` and `forget`: how many records it concerned."""

    TYPE: ClassVar[str] = "memory.done"
    count: int


class MemoryFailure(Message):
    """Reply to anything that could not be done."""

    TYPE: ClassVar[str] = "memory.error"
    error: str
    message: str
