"""McpProcess: a server of the Model Context Protocol as a child process, spoken to on its standard input and output.

It stands in for the SDK's own transport, which reads lines of any length, and logs what it cannot read.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client import Transport
    from mcp.shared.message import SessionMessage

__all__ = ["McpProcess"]

_log = logging.getLogger(__name__)

_MAX_LINE_BYTES: Final = 8 * 1024 * 1024
_MAX_JUNK_BYTES: Final = 1024 * 1024
_PIECE_BYTES: Final = 65_536
_LEAVE_S: Final = 1.0
_INHERITED: Final = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SYSTEMROOT")


class McpProcess:
    """One life of a server.

    Args:
        passed: variables that it gets beside PATH and the like.

    Attributes:
        ended: set when it says nothing more.
        last_words: the ends of its first lines on stderr, until `quiet` is set: from then on they may hold what it was asked, and are only
            counted.
    """

    def __init__(
        self,
        *,
        name: str,
        command: Sequence[str],
        folder: Path | None,
        environment: Mapping[str, str],
        passed: Sequence[str],
    ) -> None:
        self._name = name
        self._command = command
        self._folder = folder
        self._environment = {one: environment[one] for one in (*_INHERITED, *passed) if one in environment}
        self._secrets = [environment[one] for one in passed if environment.get(one)]
        self._stderr_lines = 0
        self.quiet = False
        self.last_words: deque[str] = deque(maxlen=3)
        self.ended = asyncio.Event()

    def transport(self) -> "Transport":
        """What a session of the SDK speaks through. It starts the process, and ends it with all that it started.

        Raises:
            OSError: the command cannot be started.
        """
        return self._open()

    @contextlib.asynccontextmanager
    async def _open(
        self,
    ) -> "AsyncGenerator[tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]]":
        import anyio
        from mcp.shared.message import SessionMessage

        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._folder,
            env=self._environment,
            start_new_session=True,
            limit=_MAX_LINE_BYTES,
        )
        # They are there, because they were asked for.
        stdin = cast("asyncio.StreamWriter", process.stdin)
        stdout, stderr = cast("asyncio.StreamReader", process.stdout), cast("asyncio.StreamReader", process.stderr)
        heard_in, heard_out = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        said_in, said_out = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with asyncio.TaskGroup() as group, heard_out, said_in:
                tasks = [
                    group.create_task(self._hear(stdout, heard_in)),
                    group.create_task(self._say(stdin, said_out)),
                    group.create_task(self._overhear(stderr)),
                ]
                try:
                    yield heard_out, said_in
                finally:
                    stdin.close()  # ends a server that behaves
                    await self._leave(process, tasks)
        finally:
            self.ended.set()
            heard_in.close()
            said_out.close()

    async def _hear(
        self, stdout: asyncio.StreamReader, heard: "MemoryObjectSendStream[SessionMessage | Exception]"
    ) -> None:
        import anyio
        from mcp.shared.message import SessionMessage
        from mcp.types import jsonrpc_message_adapter

        junk_bytes = 0
        async with heard:
            with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # the session is over
                while line := await self._line(stdout):
                    try:
                        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                    except ValueError:
                        junk_bytes += len(line)
                        if junk_bytes == len(line):
                            _log.warning("MCP server %s writes what is no message to its standard output", self._name)
                        if junk_bytes > _MAX_JUNK_BYTES:
                            _log.error("MCP server %s writes nothing but junk: it is ended", self._name)
                            break
                    else:
                        await heard.send(SessionMessage(message))
        self.ended.set()

    async def _line(self, stream: asyncio.StreamReader) -> bytes:
        """The next line; none at the end, and of a line that is too long."""
        try:
            return await stream.readline()
        except ValueError:
            _log.error("MCP server %s writes messages over %s bytes: it is ended", self._name, _MAX_LINE_BYTES)
            return b""

    async def _say(self, stdin: asyncio.StreamWriter, said: "MemoryObjectReceiveStream[SessionMessage]") -> None:
        async with said:
            with contextlib.suppress(ConnectionError):  # it is gone, as `_hear` will notice
                async for one in said:
                    stdin.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                    await stdin.drain()

    async def _overhear(self, stderr: asyncio.StreamReader) -> None:
        rest = b""
        while piece := await stderr.read(_PIECE_BYTES):
            *lines, rest = (rest + piece).split(b"\n")
            rest = rest[-1_000:]
            self._stderr_lines += len(lines)
            if not self.quiet:
                self.last_words.extend(self._redacted(line[-300:]) for line in lines if line.strip())

    def _redacted(self, line: bytes) -> str:
        text = line.decode(errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text.strip()

    async def _leave(self, process: asyncio.subprocess.Process, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Let it end by itself; kill it, and all that it started, if it does not, or when this is cancelled."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with contextlib.suppress(TimeoutError):  # what left the process's group may hold its pipes
                async with asyncio.timeout(_LEAVE_S):
                    await process.communicate()
            if self._stderr_lines:
                _log.info("MCP server %s wrote %s lines to stderr", self._name, self._stderr_lines)
