"""MemorySearch: the shared memory as a tool, for models that decide themselves what to look for."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import JsonValue

from stretto.shared.contracts.memory import Hits
from stretto.shared.memory.protocol import Memory
from stretto.shared.tools.errors import ToolUnavailable
from stretto.shared.tools.protocol import Consequences, Tool

__all__ = ["MemorySearch"]

_MAX_HITS: Final = 20


class MemorySearch:
    """Searches the attempt's memory: the tenant's, held to the documents that the request names. What a model asks for cannot widen that.

    It is set up without a memory; each attempt makes its own of it.
    """

    description = "Search the documents for passages about something. The best come first, each with id, source, place, text and score."
    effects: Consequences = "none"
    output_schema: Mapping[str, JsonValue] | None = None

    def __init__(
        self, *, name: str = "memory_search", memory: Memory | None = None, scope: Sequence[str] = (), hits: int = 8
    ) -> None:
        self.name = name
        self._memory = memory
        self._scope = tuple(scope)
        self._hits = hits
        self.schema: Mapping[str, JsonValue] = {
            "type": "object",
            "properties": {
                "query": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 2_000,
                    "description": "What to look for, in a few words or a sentence.",
                },
                "limit": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": _MAX_HITS,
                    "default": hits,
                    "description": "How many passages.",
                },
            },
            "required": ["query"],
            "additionalProperties": False,
        }

    def of_attempt(self, *, memory: Memory, scope: Sequence[str]) -> Tool:
        """As `AttemptTool.of_attempt`."""
        return MemorySearch(name=self.name, memory=memory, scope=scope, hits=self._hits)

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        """As `Tool.call`.

        Raises:
            ToolUnavailable: there is no attempt, and so no memory.
            MemoryFailed: see `stretto.shared.memory.errors`.
        """
        if self._memory is None:
            raise ToolUnavailable(f"{self.name} works within a task only: outside there is no memory to search")
        given: Mapping[str, Any] = arguments
        limit = int(given.get("limit", self._hits))
        hits: Hits = await self._memory.search(given["query"], scope=self._scope, limit=limit)
        return {"passages": [_told(one) for one in hits.model_dump(mode="json")["hits"]]}


def _told(hit: dict[str, Any]) -> JsonValue:
    record = hit["record"]
    return {
        "id": record["id"],
        "source": record["source"],
        "place": record["place"],
        "text": record["text"],
        "score": hit["score"],
    }
