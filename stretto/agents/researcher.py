"""Researcher: finds what the documents say on a request, word for word, and where."""

from collections.abc import Sequence
from typing import ClassVar

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.exact_quote import find_exact
from stretto.agents.prompt import render_prompt
from stretto.bus.message import Value
from stretto.shared.contracts.findings import Finding, Findings, Quotes
from stretto.shared.contracts.memory import Hit
from stretto.shared.models.protocol import Document

__all__ = ["ResearchTask", "Researcher"]

_MAX_QUERY_CHARS = 2_000


class ResearchTask(Value):
    """What is asked; `angle`, in plain words, is the part of it that this researcher looks at."""

    request: str
    angle: str = ""


class Researcher(Agent[ResearchTask, Findings]):
    """Retrieves passages, lets the model pick quotes, and keeps only those that really stand in their passage.

    Args:
        passages: how many passages one search brings; an angle adds a search of its own.
        quotes: how many quotes at the most.
    """

    role: ClassVar[str] = "researcher"
    description: ClassVar[str] = "Finds what the documents say on a question: exact quotes with their sources."

    def __init__(self, *, passages: int = 8, quotes: int = 5) -> None:
        self._passages = passages
        self._quotes = quotes

    async def handle(self, task: ResearchTask, ctx: TaskContext) -> Findings:
        hits = await self._search(task, ctx)
        if not hits:
            await ctx.progress("found no passages")
            return Findings(question=task.request)
        sources = len({(hit.record.root, hit.record.source) for hit in hits})
        await ctx.progress(f"reading {_count(len(hits), 'passage')} of {_count(sources, 'document')}")
        reply = await ctx.model.generate(
            Quotes,
            instructions=render_prompt("researcher", angle=task.angle, at_most=self._quotes),
            question=task.request,
            documents=[_document(hit) for hit in hits],
        )
        findings = self._keep_exact(reply.output, hits, ctx.key.task)
        await ctx.progress(f"found {_count(len(findings), 'quote')}" if findings else "found nothing that answers")
        return Findings(
            question=task.request,
            findings=tuple(findings),
            searched=len(hits),
            confidence=max((one.confidence for one in findings), default=0.0),
        )

    async def _search(self, task: ResearchTask, ctx: TaskContext) -> list[Hit]:
        query = task.request[:_MAX_QUERY_CHARS]
        found = [*(await ctx.memory.search(query, limit=self._passages)).hits]
        if task.angle:
            # Half as many again: what this angle brings besides, for researchers who work side by side.
            more = await ctx.memory.search(f"{query} ({task.angle})", limit=self._passages + self._passages // 2)
            known = {hit.record.id for hit in found}
            found += [hit for hit in more.hits if hit.record.id not in known][: self._passages // 2]
        return found

    def _keep_exact(self, quotes: Quotes, hits: Sequence[Hit], task: str) -> list[Finding]:
        records = {hit.record.id: hit.record for hit in hits}
        findings: dict[tuple[str, str], Finding] = {}
        for one in quotes.quotes:
            record = records.get(one.document)
            exact = find_exact(one.quote, record.text) if record else None
            if record is None or exact is None or (record.id, exact[1]) in findings:
                continue
            offset, words = exact
            findings[record.id, words] = Finding(
                id=f"{task}-{len(findings) + 1}",
                quote=words,
                source=record.source,
                place=record.place,
                passage=record.id,
                offset=offset,
                confidence=one.confidence,
            )
        return list(findings.values())[: self._quotes]


def _document(hit: Hit) -> Document:
    record = hit.record
    return Document(
        id=record.id,
        text=record.text,
        kind="passage",
        source=record.source,
        place=record.place,
        score=max(0.0, hit.similarity),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
