"""ReadFile: the text of files under one folder."""

import asyncio
import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

from stretto.shared.memory.elements import visible
from stretto.shared.memory.errors import Unreadable
from stretto.shared.tools.errors import ToolError, ToolForbidden, ToolUnavailable
from stretto.shared.tools.protocol import Consequences

__all__ = ["ReadFile"]

_RICH: Final = frozenset({".docx", ".pdf"})
"""Formats whose text is not in the bytes themselves."""
_OPEN: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FOLDER: Final = _OPEN | getattr(os, "O_DIRECTORY", 0)


class ReadFile:
    """Reads regular files under `root`, and nothing else: no path leads out of it, and no link is followed, on the way or at its end.

    Args:
        max_file_bytes: how big a file may be.
    """

    effects: Consequences = "none"
    schema: Mapping[str, JsonValue] = {
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1_000,
                "description": "The file's path within the folder, with / between its parts.",
            }
        },
        "required": ["path"],
        "additionalProperties": False,
    }
    output_schema: Mapping[str, JsonValue] | None = {"type": "string"}

    def __init__(self, *, root: Path, name: str = "read_file", max_file_bytes: int = 8 * 1024 * 1024) -> None:
        self.name = name
        self.description = (
            f"Read the text of a file in the folder {root.name or root}: text, Markdown, source, PDF or Word."
        )
        self._root = root
        self._max_file_bytes = max_file_bytes

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        """As `Tool.call`.

        Raises:
            ToolForbidden: the path leads out of the folder or over a link, is no regular file, or is too big.
            ToolUnavailable: there is no such file, or it holds no text.
        """
        given: Mapping[str, Any] = arguments
        return await asyncio.to_thread(self._read, given["path"])

    def _read(self, path: str) -> str:
        parts = _parts(path)
        data = self._bytes(parts)
        try:
            if Path(parts[-1]).suffix.lower() in _RICH:
                from stretto.shared.memory.readers import read_document

                return "\n\n".join(element.text for element in read_document(parts[-1], data))
            from stretto.shared.memory.readers.encoding import decode

            return visible(decode(data))
        except (Unreadable, ImportError) as error:
            raise ToolUnavailable(f"path: the file cannot be read: {error}") from error

    def _bytes(self, parts: list[str]) -> bytes:
        """Each folder is opened from the one above: a link that is put there meanwhile leads nowhere."""
        opened: list[int] = []
        try:
            opened.append(os.open(self._root, _FOLDER & ~getattr(os, "O_NOFOLLOW", 0)))
            for part in parts[:-1]:
                opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
            opened.append(os.open(parts[-1], _OPEN, dir_fd=opened[-1]))
            found = os.fstat(opened[-1])
            if not stat.S_ISREG(found.st_mode):
                raise ToolForbidden("path: it is no regular file")
            with os.fdopen(opened.pop(), "rb") as file:
                data = file.read(self._max_file_bytes + 1)
        except OSError as error:
            raise _why(error) from error
        finally:
            for one in opened:
                os.close(one)
        if len(data) > self._max_file_bytes:
            raise ToolForbidden(f"path: the file is over the limit of {self._max_file_bytes} bytes")
        return data


def _parts(path: str) -> list[str]:
    """The steps of the path.

    Raises:
        ToolForbidden: it leads out of the folder.
    """
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if path.startswith(("/", "~")) or "\\" in path or "\0" in path or ".." in parts or not parts:
        raise ToolForbidden("path: it must lead to a file within the folder, without .. and without / at its beginning")
    return parts


def _why(error: OSError) -> ToolError:
    match error:
        case FileNotFoundError():
            return ToolUnavailable("path: there is no such file")
        case _ if error.errno in _LINKS:
            return ToolForbidden("path: it is no file within the folder; links are not followed")
        case _:
            return ToolUnavailable(f"path: the file cannot be read: {error.strerror or 'it fails'}")


_LINKS: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO})
