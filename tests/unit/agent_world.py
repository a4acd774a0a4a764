"""A task's surroundings for agents under test: a memory that is a list, and a progress log."""

from collections.abc import Sequence
from datetime import UTC, datetime

from stretto.agents.context import MeteredModel, ScopedMemory, TaskContext
from stretto.bus.subjects import RunKey, TaskKey
from stretto.shared.contracts.memory import Hit, Hits, MemoryStats, Record, SourceState
from stretto.shared.models.protocol import Model
from stretto.shared.models.terms import Parts, coverage, terms_of

__all__ = ["ListMemory", "record", "surroundings"]


def record(id_: str, text: str, *, source: str = "refunds.md", place: str = "Refunds, line 1") -> Record:
    return Record(
        id=id_,
        text=text,
        root="docs",
        source=source,
        place=place,
        writer="me",
        added_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


class ListMemory:
    """Ranks by words. Keeps the queries it was asked."""

    def __init__(self, *records: Record) -> None:
        self.records = records
        self.queries: list[str] = []

    async def search(self, query: str, *, scope: Sequence[str] = (), limit: int = 8) -> Hits:
        self.queries.append(query)
        weight = dict.fromkeys(terms_of(query), 1.0)
        hits = [
            Hit(record=one, score=share, similarity=share)
            for one in self.records
            if (share := coverage(Parts.of(one.text, one.place, ""), weight)) > 0
        ]
        hits.sort(key=lambda hit: -hit.score)
        return Hits(hits=tuple(hits[:limit]), searched=len(self.records))

    async def add(self, records: Sequence[Record]) -> int:
        raise NotImplementedError

    async def get(self, ids: Sequence[str]) -> tuple[Record, ...]:
        raise NotImplementedError

    async def forget(
        self, *, root: str | None = None, sources: Sequence[str] = (), everything: bool = False, keep_hash: str = ""
    ) -> int:
        raise NotImplementedError

    async def sources(self, *, root: str | None = None) -> tuple[SourceState, ...]:
        raise NotImplementedError

    async def stats(self) -> MemoryStats:
        raise NotImplementedError

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        raise NotImplementedError


def surroundings(
    model: Model, *, memory: ListMemory | None = None, task: str = "task", progress: list[str] | None = None
) -> TaskContext:
    async def note(line: str) -> None:
        if progress is not None:
            progress.append(line)

    return TaskContext(
        key=TaskKey(RunKey(0, "acme", "run-1"), "any", task, 1),
        model=MeteredModel(model),
        memory=ScopedMemory(memory or ListMemory(), ()),
        progress=note,
    )
