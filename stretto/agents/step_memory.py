"""StepMemory: the shared memory of an attempt. What it writes is a step; what it reads is recorded with the next one."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import JsonValue, ValidationError

from stretto.agents.effects import Effects
from stretto.agents.errors import TaskPermanent
from stretto.bus.envelope import describe
from stretto.shared.contracts.memory import Hits, Record, Records, Trust
from stretto.shared.memory.protocol import Memory

__all__ = ["StepMemory"]


class StepMemory:
    """The tenant's memory, held to the documents that the request names.

    Args:
        writer: the role that adds records.
    """

    def __init__(self, memory: Memory, effects: Effects, *, scope: Sequence[str], writer: str) -> None:
        self._memory = memory
        self._effects = effects
        self._scope = tuple(scope)
        self._writer = writer

    async def search(self, query: str, *, limit: int = 8) -> Hits:
        """The passages nearest to `query`, best first."""
        found: list[Hits] = []

        async def call() -> JsonValue:
            found.append(await self._memory.search(query, scope=self._scope, limit=limit))
            return found[0].model_dump(mode="json")

        output = await self._effects.observe("memory.search", {"query": query, "limit": limit}, call)
        return found[0] if found else Hits.model_validate(output)

    async def around(self, record: Record, *, reach: int = 1) -> tuple[Record, ...]:
        """The passages next to one that was found, `reach` on either side, in the order of their document.

        Raises:
            MemoryFailed: see `stretto.shared.memory.errors`.
        """
        found: list[Records] = []

        async def call() -> JsonValue:
            found.append(Records(records=await self._memory.around(record.id, reach=reach)))
            return found[0].model_dump(mode="json")

        output = await self._effects.observe("memory.around", {"id": record.id, "reach": reach}, call)
        return (found[0] if found else Records.model_validate(output)).records

    async def remember(
        self, text: str, *, source: str, place: str = "", root: str | None = None, trust: Trust = "normal"
    ) -> str:
        """Add one passage to the memory; return its record's id. The same passage is the same record, however often it is added.

        Args:
            source: what it comes from, as people know it; place: where in that.
            root: the set of documents it belongs to; without one the agent's own, `agents/{role}`, which only requests without a scope, or
                with this root in it, can find.

        Raises:
            TaskPermanent: it is nothing that can be kept (empty, or over 20,000 characters).
            MemoryFailed: see `stretto.shared.memory.errors`.
        """
        root = f"agents/{self._writer}" if root is None else root
        passage: dict[str, JsonValue] = {"text": text, "root": root, "source": source, "place": place, "trust": trust}
        record_id = hashlib.sha256(f"{root}\0{source}\0{place}\0{text}".encode()).hexdigest()[:32]
        fields = {**passage, "id": record_id, "writer": self._writer, "added_at": datetime.now(UTC)}
        try:
            record = Record.model_validate(fields)
        except ValidationError as error:
            raise TaskPermanent(f"that cannot be remembered: {describe(error)}") from error

        async def call(_: str) -> JsonValue:
            await self._memory.add([record])
            return record.id

        return await self._effects.perform("memory", "remember", passage, call, str)
