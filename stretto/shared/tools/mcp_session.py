"""McpSession: one session with a server of the Model Context Protocol, by the official SDK."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import TYPE_CHECKING, Final

from stretto import __version__
from stretto.shared.tools.errors import ToolUnavailable
from stretto.shared.tools.mcp_process import McpProcess
from stretto.shared.tools.mcp_settings import McpServerSettings

if TYPE_CHECKING:
    import mcp
    from mcp.client import Transport

__all__ = ["McpSession", "hold_session"]

_HTTP_LIMIT_S: Final = 300.0


class McpSession:
    """One session. It is over when the server is gone, or when it is retired and no call is under way.

    Attributes:
        answers: how many calls it has answered.
    """

    def __init__(self, client: "mcp.Client", over: asyncio.Event) -> None:
        self.answers = 0
        self._client = client
        self._over = over
        self._retired = False
        self._calls = 0

    @property
    def usable(self) -> bool:
        """Whether a call may begin with it."""
        return not (self._retired or self._over.is_set())

    def retire(self) -> None:
        """No further call is to begin with it."""
        self._retired = True
        if not self._calls:
            self._over.set()

    @contextlib.contextmanager
    def calling(self) -> Generator["mcp.Client"]:
        """The SDK's client, for the length of a call.

        A call that is cut off while no other was answered retires the session: the server may hang.
        """
        self._calls += 1
        before = self.answers
        try:
            yield self._client
            self.answers += 1
        except asyncio.CancelledError:
            if self.answers == before:
                self._retired = True
            raise
        finally:
            self._calls -= 1
            if self._retired:
                self.retire()


async def hold_session(
    name: str, settings: McpServerSettings, *, environment: Mapping[str, str], opened: asyncio.Future[McpSession]
) -> None:
    """Open a session, hand it over, and hold it until it is over. `opened` gets the error if that cannot be."""
    reason = f"MCP server {name} cannot be reached"
    process: McpProcess | None = None
    try:
        import mcp

        # The SDK logs what it cannot read, with its content.
        logging.getLogger("mcp").setLevel(logging.CRITICAL)
        if settings.command:
            process = McpProcess(
                name=name,
                command=settings.command,
                folder=settings.folder,
                environment=environment,
                passed=settings.environment,
            )
        over = process.ended if process else asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            transport = (
                process.transport() if process else await stack.enter_async_context(_http(settings, environment))
            )
            async with asyncio.timeout(settings.connect_limit_s):
                client = await stack.enter_async_context(
                    mcp.Client(
                        transport, client_info=mcp.types.Implementation(name="stretto", version=__version__), cache=None
                    )
                )
            if process:
                process.quiet = True
            if not opened.done():
                opened.set_result(McpSession(client, over))
                await over.wait()
    except ImportError:
        reason = f"MCP server {name} needs the MCP SDK, which is not installed: pip install 'stretto[mcp]'"
    except TimeoutError:
        reason = f"MCP server {name} does not answer within {settings.connect_limit_s:g} s"
    except Exception as error:  # noqa: BLE001 (whatever the SDK, the transport or the server comes up with, several at once: told to the caller)
        reason = f"{reason}: {_told(error)}"
    finally:
        if not opened.done():
            words = f"; its last words: {' | '.join(process.last_words)}" if process and process.last_words else ""
            opened.set_exception(ToolUnavailable(reason + words))


@contextlib.asynccontextmanager
async def _http(settings: McpServerSettings, environment: Mapping[str, str]) -> "AsyncGenerator[Transport]":
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    from stretto.shared.tools.bounded_http import BoundedTransport

    headers = {header: environment.get(variable, "") for header, variable in settings.headers.items()}
    timeout = httpx2.Timeout(settings.connect_limit_s, read=_HTTP_LIMIT_S)
    async with httpx2.AsyncClient(headers=headers, timeout=timeout, transport=BoundedTransport()) as client:
        yield streamable_http_client(settings.url or "", http_client=client)


def _told(error: Exception) -> str:
    """The first error of a group, by its class and, where it comes from the system, its text: others may hold content."""
    if isinstance(error, ExceptionGroup):
        return _told(error.exceptions[0])  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]  # of a group of any
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
