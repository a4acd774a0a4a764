"""Researcher: finds what the documents say on a request, word for word, and where."""

from typing import ClassVar

from stretto.agents.agent import Agent
from stretto.agents.context import TaskContext
from stretto.agents.gathered import Gathered
from stretto.agents.reasoning import can_reason
from stretto.agents.shelf import Shelf
from stretto.bus.message import Value
from stretto.shared.contracts.findings import Findings, Inquiry, Quotes
from stretto.shared.models.follow_up import with_subject
from stretto.shared.prompt import Prompts

__all__ = ["ResearchTask", "Researcher"]

_MAX_QUERY_CHARS = 2_000


class ResearchTask(Value):
    """What is asked; `angle`, in plain words, is the part of it that this researcher looks at."""

    request: str
    angle: str = ""


class Researcher(Agent[ResearchTask, Findings]):
    """Searches, lets the model pick quotes and say what is still open, and keeps only quotes that really stand in their passage.

    A model that can reason breaks the question down first, and after each reading says what to search for next and where to read on, until
    all is covered or a limit is reached. `offline` gets one search and one reading.

    Args:
        passages: how many passages one search brings; an angle adds a search of its own.
        quotes: how many quotes of one reading at the most.
        questions: into how many questions a request is broken down at the most; also how many searches, and how many passages to read on
            from, may follow a reading.
        rounds: how many readings at the most.
        most_passages: how many passages in all.
        prompts: the deployment's.
    """

    role: ClassVar[str] = "researcher"
    description: ClassVar[str] = "Finds what the documents say on a question: exact quotes with their sources."

    def __init__(
        self,
        *,
        passages: int = 8,
        quotes: int = 5,
        questions: int = 4,
        rounds: int = 3,
        most_passages: int = 40,
        prompts: Prompts | None = None,
    ) -> None:
        self._passages = passages
        self._quotes = quotes
        self._questions = questions
        self._rounds = rounds
        self._most_passages = most_passages
        self._prompts = prompts or Prompts()

    async def handle(self, task: ResearchTask, ctx: TaskContext) -> Findings:
        shelf, gathered = Shelf(most=self._most_passages), Gathered(task=ctx.key.task)
        asked: set[str] = set()
        await self._search_request(task, shelf, asked, ctx)
        if not len(shelf):
            await ctx.progress("found no passages")
            return Findings(question=task.request)
        rounds = 1
        if can_reason(ctx.model.name):
            rounds = self._rounds
            await self._search(await self._break_down(task, ctx), shelf, asked, ctx)
        covered = await self._read(task, shelf, gathered, asked, ctx, rounds=rounds)
        findings = gathered.best_first()
        await ctx.progress(f"found {_count(len(findings), 'quote')}" if findings else "found nothing that answers")
        return Findings(
            question=task.request,
            findings=findings,
            searched=len(shelf),
            covered=covered,
            confidence=max((one.confidence for one in findings), default=0.0),
        )

    async def _search_request(self, task: ResearchTask, shelf: Shelf, asked: set[str], ctx: TaskContext) -> None:
        query = task.request[:_MAX_QUERY_CHARS]
        asked.add(query.casefold())
        shelf.put((await ctx.memory.search(query, limit=self._passages)).hits)
        if task.angle:
            # Half as many again: what this angle brings besides, for researchers who work side by side.
            more = await ctx.memory.search(f"{query} ({task.angle})", limit=self._passages + self._passages // 2)
            shelf.put(more.hits, most=self._passages // 2)
        meant = with_subject(query, (turn.request for turn in ctx.conversation.turns)) if ctx.conversation else None
        if meant is not None:
            await self._search((meant,), shelf, asked, ctx)

    async def _break_down(self, task: ResearchTask, ctx: TaskContext) -> tuple[str, ...]:
        reply = await ctx.model.generate(
            Inquiry,
            instructions=self._prompts.render("agents/inquiry", angle=task.angle, at_most=self._questions),
            question=task.request,
        )
        return reply.output.questions

    async def _search(self, terms: tuple[str, ...], shelf: Shelf, asked: set[str], ctx: TaskContext) -> None:
        """Search for what was not searched for before."""
        queries = (" ".join(one.split())[:_MAX_QUERY_CHARS] for one in terms)
        new = {one.casefold(): one for one in queries if one and one.casefold() not in asked}
        for query in list(new.values())[: self._questions]:
            asked.add(query.casefold())
            await ctx.progress(f"searching for: {query}")
            # Half as many: what the request itself brings comes first, and all of it has to be read.
            hits = (await ctx.memory.search(query, limit=self._passages)).hits
            shelf.put(hits, most=max(1, self._passages // 2))

    async def _read(
        self, task: ResearchTask, shelf: Shelf, gathered: Gathered, asked: set[str], ctx: TaskContext, *, rounds: int
    ) -> bool:
        """Read until all is covered, nothing new comes up, or the rounds are used up; return whether all is covered."""
        for left in reversed(range(rounds)):
            sources, passages = shelf.sources, shelf.take()
            if not passages:
                return False
            await ctx.progress(f"reading {_count(len(passages), 'passage')} of {_count(sources, 'document')}")
            reply = await ctx.model.generate(
                Quotes,
                instructions=self._prompts.render(
                    "agents/researcher", angle=task.angle, at_most=self._quotes, again=len(gathered) > 0, last=not left
                ),
                question=task.request,
                documents=[*passages, *gathered.documents()],
            )
            self._keep(reply.output, shelf, gathered)
            if reply.output.covered:
                return True
            if left:
                await self._look_on(reply.output, shelf, asked, ctx)
        return False

    def _keep(self, picked: Quotes, shelf: Shelf, gathered: Gathered) -> None:
        kept = 0
        for quote in picked.quotes:
            record = shelf.record(quote.document)
            if record is not None and kept < self._quotes:
                kept += gathered.keep(quote, record)

    async def _look_on(self, picked: Quotes, shelf: Shelf, asked: set[str], ctx: TaskContext) -> None:
        for id_ in list(dict.fromkeys(picked.read_on))[: self._questions]:
            record = shelf.record(id_)
            if record is not None:
                await ctx.progress(f"reading on in {record.source}")
                shelf.put_around(record, await ctx.memory.around(record))
        await self._search(picked.searches, shelf, asked, ctx)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
