"""A task's surroundings for agents under test: a memory that is a list, and a progress log."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from stretto.agents.context import TaskContext
from stretto.agents.effects import Effects
from stretto.agents.gate import Gate
from stretto.agents.live_text import LiveText
from stretto.agents.panel import Panel
from stretto.agents.recorder import Recorder
from stretto.bus.journal import Entry, Journal
from stretto.bus.step import Intent, Step
from stretto.bus.subjects import RunKey, TaskKey
from stretto.shared.contracts.conversation import Conversation, Turn
from stretto.shared.contracts.memory import Hit, Hits, MemoryStats, Record, SourceState
from stretto.shared.contracts.question import Question, Settled
from stretto.shared.memory.protocol import Memory
from stretto.shared.models.offline.terms import Parts, coverage, terms_of
from stretto.shared.models.protocol import Model, Purse
from stretto.shared.tools.protocol import Tool

__all__ = ["ListMemory", "ListedSteps", "record", "settle", "surroundings"]


def record(
    id_: str, text: str, *, source: str = "refunds.md", place: str = "Refunds, line 1", ordinal: int = 0
) -> Record:
    return Record(
        id=id_,
        text=text,
        root="docs",
        source=source,
        place=place,
        ordinal=ordinal,
        writer="me",
        added_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def settle(
    question: Question, outcome: Literal["answered", "approved", "rejected", "expired"], text: str = ""
) -> Settled:
    """As a person, or the clock, settles it."""
    return Settled(
        question=question.id,
        position=question.position,
        digest=question.digest,
        outcome=outcome,
        text=text,
        principal="" if outcome == "expired" else "ann",
        at=datetime(2026, 1, 1, tzinfo=UTC),
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

    async def around(self, id_: str, *, reach: int = 1) -> tuple[Record, ...]:
        here = next(one for one in self.records if one.id == id_)
        return tuple(
            one for one in self.records if one.source == here.source and 0 < abs(one.ordinal - here.ordinal) <= reach
        )

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


class ListedSteps:
    """Keeps entries in memory: what is written first counts."""

    def __init__(self) -> None:
        self.steps: dict[int, Step] = {}
        self.intents: dict[int, Intent] = {}

    async def write(self, entry: Entry, *, message_id: str) -> tuple[Entry, bool]:
        if isinstance(entry, Step):
            there: Step | Intent = self.steps.setdefault(entry.position, entry)
        else:
            there = self.intents.setdefault(entry.position, entry)
        return there, there is entry  # type: ignore[return-value]  # each kind has its own place


def surroundings(
    model: Model,
    *,
    memory: Memory | None = None,
    task: str = "task",
    progress: list[str] | None = None,
    steps: ListedSteps | None = None,
    settled: Sequence[Settled] = (),
    asked: asyncio.Queue[Question] | None = None,
    panel: Panel | None = None,
    live: LiveText | None = None,
    tools: Sequence[Tool] = (),
    scope: Sequence[str] = (),
    purse: Purse | None = None,
    before: str | None = None,
) -> TaskContext:
    """The surroundings of an attempt without a bus.

    Args:
        steps: what is on record, and will be; settled: its questions that are settled.
        asked: gets the questions that it asks; after one the handler waits for ever.
        panel: several models instead of the one.
        live: is told what the model writes while it does.
        scope: the documents that the request names; purse: what may be spent.
        before: what was asked in the conversation before.
    """
    key = TaskKey(RunKey(0, "acme", "run-1"), "any", task, 1)
    steps = steps or ListedSteps()

    async def note(line: str) -> None:
        if progress is not None:
            progress.append(line)

    async def put(question: Question) -> None:
        if asked is not None:
            asked.put_nowait(question)

    turn = Turn(run="r0", request=before, answer="So.", at=datetime(2026, 1, 1, tzinfo=UTC)) if before else None
    gate = Gate()
    journal = Journal(
        key=key,
        store=steps,
        steps=list(steps.steps.values()),
        intents=list(steps.intents.values()),
        settled=[one.position for one in settled],
    )
    recorder = Recorder(journal=journal, gate=gate, spawn=asyncio.get_running_loop().create_task)
    effects = Effects(key=key, recorder=recorder, gate=gate, put=put, settled=settled)
    return TaskContext(
        key=key,
        effects=effects,
        model=model,
        memory=memory or ListMemory(),
        scope=scope,
        tools=tools,
        progress=note,
        panel=panel,
        live=live,
        purse=purse,
        conversation=Conversation(id="c", turns=(turn,)) if turn else None,
    )
