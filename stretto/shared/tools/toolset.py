"""Toolset: the tools that the settings name, as far as the agents of this process may use them."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from stretto.shared.settings import SettingsError
from stretto.shared.tools.limits import Keep, LimitedTool
from stretto.shared.tools.names import check_tool_name
from stretto.shared.tools.opening import open_tools
from stretto.shared.tools.protocol import Tool
from stretto.shared.tools.schema import check_schema
from stretto.shared.tools.settings import ToolSettings

__all__ = ["Toolset"]


class Toolset:
    """Opens each tool once per process, and only what some role of the process may use. It is an async context manager.

    Args:
        settings: by the name in `[tools.NAME]`.
        roles: those of the agents that are served here.
        keep: stores results that are over their limit, where the settings say so.

    Raises:
        SettingsError: a tool cannot be opened, two have one name, or a schema is none; the text says what to change.
        ToolUnavailable, ToolResultWrong: a tool's server does not answer, or not as its protocol says.
    """

    def __init__(
        self, settings: Mapping[str, ToolSettings], *, roles: Collection[str], keep: Keep | None = None
    ) -> None:
        self._keep = keep
        self._settings = {name: one for name, one in settings.items() if set(one.roles) & set(roles)}
        self._stack = AsyncExitStack()
        self._tools: dict[str, tuple[LimitedTool, ...]] = {}

    async def __aenter__(self) -> Self:
        try:
            for name, one in self._settings.items():
                opened = await open_tools(name, one, self._stack)
                self._tools[name] = tuple(LimitedTool(_checked(name, tool), one.limits, self._keep) for tool in opened)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def of(self, role: str, *, beside: Sequence[Tool] = ()) -> tuple[Tool, ...]:
        """The tools that the settings allow to a role.

        Args:
            beside: those that its agent has itself.

        Raises:
            SettingsError: two tools of the role have one name.
        """
        allowed = [tool for name, one in self._settings.items() if role in one.roles for tool in self._tools[name]]
        names = [tool.name for tool in (*beside, *allowed)]
        for name in names:
            if names.count(name) > 1:
                raise SettingsError(f"settings: tools: the role {role} has several tools called {name!r}: rename one")
        return tuple(allowed)


def _checked(setting: str, tool: Tool) -> Tool:
    try:
        check_tool_name(tool.name)
        check_schema(tool.schema)
    except ValueError as error:
        raise SettingsError(f"settings: tools.{setting}: the tool {tool.name!r} cannot be offered: {error}") from error
    return tool
