"""McpServer: one server of the Model Context Protocol, whose session is opened again after the server was gone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from pydantic import JsonValue, ValidationError

from stretto.shared.tools.errors import ToolResultWrong, ToolUnavailable
from stretto.shared.tools.mcp_session import McpSession, hold_session
from stretto.shared.tools.mcp_settings import McpServerSettings

if TYPE_CHECKING:
    import mcp

__all__ = ["KEY_META", "McpServer"]

KEY_META: Final = "stretto/idempotency-key"
"""Where the idempotency key is in `_meta` of a call."""

_MAX_PAGES: Final = 50
_MAX_TEXT_CHARS: Final = 500

Answer = TypeVar("Answer")


class McpServer:
    """A server, for as long as the `async with` block lasts. It is reached when it is first needed.

    Args:
        name: what the settings call it.
        environment: where the variables are looked up that the settings name.
    """

    def __init__(self, name: str, settings: McpServerSettings, *, environment: Mapping[str, str]) -> None:
        self.name = name
        self.settings = settings
        self._environment = environment
        self._session: McpSession | None = None
        self._opening = asyncio.Lock()
        self._group = asyncio.TaskGroup()
        self._holding: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for one in self._holding:
            one.cancel()
        await self._group.__aexit__(None, None, None)  # what was raised is none of the group's

    async def tools(self) -> "list[mcp.types.Tool]":
        """What it offers.

        Raises:
            ToolUnavailable, ToolResultWrong: it does not answer, or not as the protocol says.
        """
        found: list[mcp.types.Tool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await self._ask(partial(_page, cursor=cursor))
            found += page.tools
            cursor = page.next_cursor
            if cursor is None:
                return found
        raise ToolUnavailable(f"MCP server {self.name} lists its tools without end")

    async def call(self, tool: str, arguments: Mapping[str, JsonValue], *, key: str) -> "mcp.types.CallToolResult":
        """Call one of its tools. Cancelling this tells the server so.

        Raises:
            ToolUnavailable, ToolResultWrong: there is no result, or none as the tool promised; it may have happened all the same.
        """
        meta: Any = {KEY_META: key}
        return await self._ask(lambda client: client.call_tool(tool, dict(arguments), meta=meta))

    async def _ask(self, what: "Callable[[mcp.Client], Awaitable[Answer]]") -> Answer:
        session = await self._opened()
        import anyio
        import mcp

        gone = f"MCP server {self.name} was gone before it answered"
        try:
            with session.calling() as client:
                return await what(client)
        except mcp.MCPError as error:
            if error.code in (
                mcp.types.CONNECTION_CLOSED,
                mcp.types.INVALID_REQUEST,
            ):  # the latter: it knows the session no more
                session.retire()
                raise ToolUnavailable(gone) from error
            if error.code == mcp.types.PARSE_ERROR:  # whose text holds what could not be read
                raise ToolResultWrong(f"MCP server {self.name} answers with what it should not") from error
            raise ToolUnavailable(f"MCP server {self.name} refuses: {error.message[:_MAX_TEXT_CHARS]}") from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError) as error:
            session.retire()
            raise ToolUnavailable(gone) from error
        except (
            ValidationError,
            RuntimeError,
        ) as error:  # the latter is the SDK's for a result that is not as its schema says
            raise ToolResultWrong(f"MCP server {self.name} answers with what it should not") from error

    async def _opened(self) -> McpSession:
        async with self._opening:
            if self._session is None or not self._session.usable:
                opened: asyncio.Future[McpSession] = asyncio.get_running_loop().create_future()
                holding = self._group.create_task(
                    hold_session(self.name, self.settings, environment=self._environment, opened=opened)
                )
                self._holding.add(holding)
                holding.add_done_callback(self._holding.discard)
                try:
                    self._session = await opened
                except asyncio.CancelledError:
                    holding.cancel()
                    raise
            return self._session


async def _page(client: "mcp.Client", *, cursor: str | None) -> "mcp.types.ListToolsResult":
    return await client.list_tools(cursor=cursor)
