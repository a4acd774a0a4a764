"""Toolbox: the tools of an agent. Each call is a step."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from stretto.agents.effects import Effects
from stretto.agents.errors import ToolUnknown
from stretto.shared.tools.protocol import Tool

__all__ = ["Toolbox"]


class Toolbox:
    """The tools that an agent may use, by name."""

    def __init__(self, tools: Sequence[Tool], effects: Effects) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._effects = effects

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tools)

    async def call(self, name: str, arguments: Mapping[str, JsonValue] | None = None) -> JsonValue:
        """Call a tool; return what it returns. Of an unkeyed tool whose call a person says has happened, that is None.

        Raises:
            ToolUnknown: there is none of this name.
            QuestionExpired: nobody knew in time whether an unkeyed call had happened.
            Exception: whatever the tool raises; again, when the attempt is done again.
        """
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(self._tools) or "none at all"
            raise ToolUnknown(f"there is no tool {name!r} here: there is {known}")
        given = dict(arguments or {})

        async def call(key: str) -> JsonValue:
            return await tool.call(given, key=key)

        return await self._effects.perform("tool", name, given, call, _as_it_is, effects=tool.effects)


def _as_it_is(output: JsonValue) -> JsonValue:
    return output
