"""Opening: from a tool's settings to the tool. Each kind is one case."""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, assert_never

from stretto.shared.settings import SettingsError
from stretto.shared.tools.function import FunctionTool
from stretto.shared.tools.protocol import Tool
from stretto.shared.tools.settings import (
    CalculateSettings,
    FetchSettings,
    FunctionSettings,
    McpSettings,
    MemorySearchSettings,
    PublishSettings,
    ReadFileSettings,
    TicketSettings,
    ToolSettings,
)

__all__ = ["open_tools"]


async def open_tools(name: str, settings: ToolSettings, stack: AsyncExitStack) -> Sequence[Tool]:
    """The tools of `[tools.NAME]`; what they hold open is closed with the stack.

    Raises:
        SettingsError: something is missing; the text says what.
        ToolUnavailable, ToolResultWrong: a server does not answer, or not as its protocol says.
    """
    match settings:
        case FunctionSettings():
            return [_function(name, settings.function)]
        case MemorySearchSettings():
            from stretto.shared.tools.built_in.memory_search import MemorySearch

            return [MemorySearch(name=name, hits=settings.hits)]
        case ReadFileSettings():
            from stretto.shared.tools.built_in.read_file import ReadFile

            if not settings.root.expanduser().is_dir():
                raise SettingsError(f"settings: tools.{name}.root: {settings.root} is no folder")
            root = settings.root.expanduser().resolve()
            return [ReadFile(name=name, root=root, max_file_bytes=settings.max_file_bytes)]
        case FetchSettings():
            from stretto.shared.tools.built_in.fetch import Fetch

            _need(name, "httpx2")
            return [
                Fetch(
                    name=name,
                    hosts=settings.hosts,
                    schemes=settings.schemes,
                    ports=settings.ports,
                    loopback=settings.loopback,
                    max_body_bytes=settings.max_body_bytes,
                )
            ]
        case CalculateSettings():
            from stretto.shared.tools.built_in.calculate import make_calculate

            _need(name, "simpleeval")
            return [make_calculate(name)]
        case McpSettings():
            from stretto.shared.tools.mcp import open_mcp

            _need(name, "mcp", extra="mcp")
            return await stack.enter_async_context(open_mcp(name, settings, environment=os.environ))
        case PublishSettings():
            from stretto.shared.tools.built_in.publish import Publish
            from stretto.shared.tools.built_in.webhook import Webhook

            _need(name, "markdown_it")
            folder = settings.folder.expanduser() if settings.folder else None
            to = folder or Webhook(name, settings, environment=os.environ)
            return [Publish(name=name, to=to, form=settings.format)]
        case TicketSettings():
            from stretto.shared.tools.built_in.ticket import Ticket
            from stretto.shared.tools.built_in.webhook import Webhook

            _need(name, "httpx2")
            return [Ticket(name=name, webhook=Webhook(name, settings, environment=os.environ))]
        case _:
            assert_never(settings)


def _need(name: str, package: str, *, extra: str = "tools") -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise SettingsError(f"settings: tools.{name} needs {package}: pip install 'stretto[{extra}]'") from error


def _function(name: str, place: str) -> FunctionTool[..., Any]:
    module_name, _, function_name = place.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's own module raises
        raise SettingsError(
            f"settings: tools.{name}.function: {module_name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    found: object = getattr(module, function_name, None)
    if not isinstance(found, FunctionTool):
        raise SettingsError(
            f"settings: tools.{name}.function: {place} is no tool: put @tool on a function of that name"
        )
    tool: FunctionTool[..., Any] = found  # pyright: ignore[reportUnknownVariableType]  # its parameters are known at run time
    return tool.named(name)
