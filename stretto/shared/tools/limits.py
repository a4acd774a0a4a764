"""ToolLimits: how long a tool may take, and how much it may give."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

from pydantic import JsonValue

from stretto.bus.envelope import ArtifactRef
from stretto.shared.memory.protocol import Memory
from stretto.shared.tools.protocol import Consequences, Tool

__all__ = ["AttemptTool", "Keep", "LimitedTool", "ToolLimits"]

Keep = Callable[[bytes], Awaitable[ArtifactRef]]
"""Stores an artifact."""


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """Limits of each call.

    Attributes:
        size_limit_bytes: of the result as JSON.
        over: what becomes of a longer result: it is cut, with a mark, or kept whole as an artifact, of which the beginning is given.
    """

    time_limit_s: float = 30.0
    size_limit_bytes: int = 65_536
    over: Literal["cut", "artifact"] = "cut"


@runtime_checkable
class AttemptTool(Protocol):
    """A tool that needs what belongs to one attempt."""

    def of_attempt(self, *, memory: Memory, scope: Sequence[str]) -> Tool:
        """The tool for an attempt with this memory, held to the documents that its request names."""
        ...


@dataclass(frozen=True, slots=True)
class LimitedTool:
    """A tool with the limits that the settings give it.

    Attributes:
        keep: stores what is over its limit, where it has to be kept.
    """

    tool: Tool
    limits: ToolLimits
    keep: Keep | None = None

    @property
    def name(self) -> str:
        return self.tool.name

    @property
    def description(self) -> str:
        return self.tool.description

    @property
    def schema(self) -> Mapping[str, JsonValue]:
        return self.tool.schema

    @property
    def output_schema(self) -> Mapping[str, JsonValue] | None:
        return self.tool.output_schema

    @property
    def effects(self) -> Consequences:
        return self.tool.effects

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        """As the tool's own; who calls holds to `limits`."""
        return await self.tool.call(arguments, key=key)

    def of_attempt(self, *, memory: Memory, scope: Sequence[str]) -> Tool:
        """As `AttemptTool.of_attempt`; the same for a tool that needs nothing."""
        if not isinstance(self.tool, AttemptTool):
            return self
        return replace(self, tool=self.tool.of_attempt(memory=memory, scope=scope))
