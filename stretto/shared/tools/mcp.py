"""mcp: the tools of servers that speak the Model Context Protocol (https://modelcontextprotocol.io), as tools of ours."""

import contextlib
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from stretto.shared.settings import SettingsError
from stretto.shared.tools.mcp_result import result_of
from stretto.shared.tools.mcp_server import McpServer
from stretto.shared.tools.mcp_settings import McpServerSettings
from stretto.shared.tools.protocol import Consequences

if TYPE_CHECKING:
    import mcp

__all__ = ["McpTool", "open_mcp"]

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class McpTool:
    """One tool of a server.

    Attributes:
        remote: its name for it.
        key_argument: the argument that takes the idempotency key, if it has one; it is not in `schema`.
    """

    server: McpServer
    remote: str
    name: str
    description: str
    schema: Mapping[str, JsonValue]
    output_schema: Mapping[str, JsonValue] | None
    effects: Consequences
    key_argument: str | None = None

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        """As `Tool.call`.

        Raises:
            ToolUnavailable: the server does not answer, or says that the tool failed.
            ToolResultWrong: it answers with what it should not.
        """
        given = {**arguments, self.key_argument: key} if self.key_argument else arguments
        return result_of(self.name, await self.server.call(self.remote, given, key=key))


@contextlib.asynccontextmanager
async def open_mcp(
    name: str, settings: McpServerSettings, *, environment: Mapping[str, str]
) -> AsyncGenerator[tuple[McpTool, ...]]:
    """The tools of a server, for as long as the `async with` block lasts. The session is opened again when the server was gone.

    Args:
        name: what the settings call the server.
        environment: where the variables are looked up that the settings name.

    Raises:
        SettingsError: a variable is not set, or the server has not the tools that the settings name; the text says what is wrong.
        ToolUnavailable, ToolResultWrong: it does not answer, or not as the protocol says.
    """
    missing = [one for one in (*settings.environment, *settings.headers.values()) if not environment.get(one)]
    if missing:
        raise SettingsError(f"settings: tools.{name} needs {', '.join(missing)} in the environment")
    async with McpServer(name, settings, environment=environment) as server:
        found = {one.name: one for one in await server.tools()}
        wanted = dict.fromkeys((*settings.tools, *settings.names, *settings.effects))
        unknown = [one for one in wanted if one not in found]
        if unknown:
            there = ", ".join(found) or "none at all"
            raise SettingsError(f"settings: tools.{name}: the server has no tool {', '.join(unknown)}: it has {there}")
        yield tuple(_tool(server, one) for one in found.values() if not settings.tools or one.name in settings.tools)


def _tool(server: McpServer, found: "mcp.types.Tool") -> McpTool:
    settings = server.settings
    name = settings.names.get(found.name) or _NOT_IN_NAMES.sub("_", f"{server.name}_{found.name}")[:64]
    properties = found.input_schema.get("properties", {})
    key_argument = settings.key_argument if settings.key_argument in properties else None
    return McpTool(
        server=server,
        remote=found.name,
        name=name,
        description=found.description or found.title or found.name,
        schema=_without(found.input_schema, key_argument),
        output_schema=found.output_schema,
        effects=settings.effects.get(found.name) or _effects(found, keyed=key_argument is not None),
        key_argument=key_argument,
    )


def _effects(found: "mcp.types.Tool", *, keyed: bool) -> Consequences:
    hints = found.annotations
    if hints and hints.read_only_hint:
        return "none"
    return "keyed" if keyed or (hints and hints.idempotent_hint) else "unkeyed"


def _without(schema: Mapping[str, JsonValue], argument: str | None) -> dict[str, JsonValue]:
    """The schema without the argument that models have no business with."""
    given = dict(schema)
    if argument is not None:
        properties, required = given.get("properties"), given.get("required")
        if isinstance(properties, dict):
            given["properties"] = {name: one for name, one in properties.items() if name != argument}
        if isinstance(required, list):
            given["required"] = [name for name in required if name != argument]
    return given
