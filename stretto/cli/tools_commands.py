"""tools_commands: `stretto tools`: which tools agents may use, and one call of one of them."""

import asyncio
import json
import secrets
import sys
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import JsonValue

from stretto.cli.errors import ExitCode, UsageFailed
from stretto.cli.output import write_json, write_table
from stretto.cli.terminal import printable
from stretto.shared.settings import Settings, SettingsError
from stretto.shared.tools.errors import ToolError, ToolTimedOut
from stretto.shared.tools.limits import AttemptTool, LimitedTool
from stretto.shared.tools.protocol import Tool
from stretto.shared.tools.schema import check_arguments, check_result
from stretto.shared.tools.toolset import Toolset

__all__ = ["call_tool", "list_tools"]

_CONSEQUENCES = {
    "none": "none",
    "keyed": "once under a key",
    "unkeyed": "each time",
}


@dataclass(frozen=True, slots=True)
class _Row:
    tool: str
    setting: str
    kind: str
    roles: tuple[str, ...]
    effects: str
    description: str
    reachable: bool
    problem: str = ""


async def list_tools(settings: Settings, *, as_json: bool) -> int:
    """Every tool of the settings; 1 when one of them cannot be reached."""
    found = await asyncio.gather(*(_rows(settings, name) for name in settings.tools))
    rows = [row for one in found for row in one]
    if as_json:
        write_json({"tools": [asdict(row) for row in rows]})
    elif rows:
        write_table(
            ("tool", "kind", "roles", "has effects", "state"),
            (
                (row.tool, row.kind, ", ".join(row.roles), _CONSEQUENCES.get(row.effects, ""), _state(row))
                for row in rows
            ),
        )
    else:
        print("The settings name no tools: see docs/tools.md.", file=sys.stderr)  # noqa: T201 (the command's own output)
    return ExitCode.OK if all(row.reachable for row in rows) else ExitCode.FAILED


async def call_tool(settings: Settings, name: str, arguments: str, *, yes: bool, key: str | None, as_json: bool) -> int:
    """Call a tool, asking first where that has consequences, and write what it returns.

    Raises:
        UsageFailed: there is no such tool, or the arguments are no JSON object.
        SettingsError, ToolError: it cannot be opened, or the call fails.
    """
    given = _object(arguments)
    setting = await _setting_of(settings, name)
    roles = settings.tools[setting].roles
    async with Toolset({setting: settings.tools[setting]}, roles=roles) as opened:
        tool = _named(opened.of(roles[0]), name)
        if isinstance(tool, LimitedTool) and isinstance(tool.tool, AttemptTool):
            raise UsageFailed(f"{name} belongs to a run: try it with `stretto memory search`")
        check_arguments(tool, given)
        if tool.effects != "none" and not (yes or _confirmed(tool, given)):
            raise UsageFailed(f"{name} was not called: say yes, or give --yes")
        limit_s = tool.limits.time_limit_s if isinstance(tool, LimitedTool) else None
        try:
            async with asyncio.timeout(limit_s):
                result = await tool.call(given, key=key or f"cli-{secrets.token_hex(16)}")
        except TimeoutError as error:
            raise ToolTimedOut(f"{name} did not end within {limit_s:g} s") from error
        check_result(tool, result)
    if as_json or not isinstance(result, str):
        write_json(result)
    else:
        print(printable(result))  # noqa: T201 (the command's own output)
    return ExitCode.OK


async def _rows(settings: Settings, name: str) -> list[_Row]:
    one = settings.tools[name]
    try:
        async with Toolset({name: one}, roles=one.roles) as opened:
            return [
                _Row(tool.name, name, one.kind, one.roles, tool.effects, tool.description, reachable=True)
                for tool in opened.of(one.roles[0])
            ]
    except (SettingsError, ToolError) as error:
        return [_Row(name, name, one.kind, one.roles, "", "", reachable=False, problem=str(error))]


async def _setting_of(settings: Settings, name: str) -> str:
    """Which setting a tool belongs to: a server's tools have names of their own, so it may have to be asked.

    Raises:
        UsageFailed: none has it.
    """
    if name in settings.tools and settings.tools[name].kind != "mcp":
        return name
    servers = [one for one, setting in settings.tools.items() if setting.kind == "mcp"]
    found = await asyncio.gather(*(_rows(settings, one) for one in servers))
    rows = [row for one in found for row in one]
    for row in rows:
        if row.reachable and row.tool == name:
            return row.setting
    known = [*(one for one in settings.tools if one not in servers), *(row.tool for row in rows if row.reachable)]
    away = "".join(f"; {row.problem}" for row in rows if not row.reachable)
    raise UsageFailed(f"there is no tool {name!r}: there is {', '.join(known) or 'none at all'}{away}")


def _named(tools: tuple[Tool, ...], name: str) -> Tool:
    return next(tool for tool in tools if tool.name == name)


def _object(text: str) -> dict[str, JsonValue]:
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise UsageFailed(f"the arguments are no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageFailed('the arguments are no JSON object: write them like \'{"title": "Refund late"}\'')
    return found  # pyright: ignore[reportUnknownVariableType]  # JSON


def _confirmed(tool: Tool, arguments: dict[str, JsonValue]) -> bool:
    shown = printable(json.dumps(arguments, ensure_ascii=False))
    print(f"{tool.name} has consequences. Call it with {shown}? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201 (a question)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _state(row: _Row) -> str:
    return "ready" if row.reachable else row.problem
