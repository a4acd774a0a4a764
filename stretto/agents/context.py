"""TaskContext: through it an agent reaches everything it may touch."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.memory import Hits
from stretto.shared.contracts.usage import Usage
from stretto.shared.memory.protocol import Memory
from stretto.shared.models.protocol import Document, Model, Output, Reply

__all__ = ["MeteredModel", "ScopedMemory", "TaskContext"]


class MeteredModel:
    """The agent's model, counting what each call takes."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.usage = Usage()
        self.models: list[str] = []

    @property
    def name(self) -> str:
        return self._model.name

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document | str] = (),
    ) -> Reply[Output]:
        """As `Model.generate`; a plain string is a document without a source."""
        reply = await self._model.generate(
            output_type,
            instructions=instructions,
            question=question,
            documents=[_document(position, one) for position, one in enumerate(documents)],
        )
        self.usage += reply.usage
        if reply.model not in self.models:
            self.models.append(reply.model)
        return reply


def _document(position: int, one: Document | str) -> Document:
    return one if isinstance(one, Document) else Document(id=f"text-{position}", text=one)


class ScopedMemory:
    """The tenant's memory, held to the documents that the request names."""

    def __init__(self, memory: Memory, scope: Sequence[str]) -> None:
        self._memory = memory
        self._scope = tuple(scope)

    async def search(self, query: str, *, limit: int = 8) -> Hits:
        """The passages nearest to `query`, best first."""
        return await self._memory.search(query, scope=self._scope, limit=limit)


async def _silent(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class TaskContext:
    """One attempt's surroundings.

    Attributes:
        key: run, role, task and attempt.
        model: the language model of the role.
        memory: the shared memory, for this tenant and this request's documents.
        deadline: when the attempt is cancelled; None for no limit of its own.
        progress: `await ctx.progress("reading 8 passages")` shows a line to whoever watches the run.
    """

    key: TaskKey
    model: MeteredModel
    memory: ScopedMemory
    deadline: datetime | None = None
    progress: Callable[[str], Awaitable[None]] = field(default=_silent)
