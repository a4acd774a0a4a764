"""Walk: the readable files of a folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from stretto.shared.memory.errors import NothingToRead
from stretto.shared.memory.readers import READABLE

__all__ = ["Walk", "walk"]


@dataclass(frozen=True, slots=True)
class Walk:
    """What there is to read under a path.

    Attributes:
        root: the folder or file that was named, resolved: who asks about a file is answered from that file alone.
        files: the readable ones, sorted, each with its source: the path from the root's parent, with `/`, as people know the
            document (`handbook/refunds.md`), whether the folder or the file alone was named.
        ignored: how many other files there are: of unknown formats, hidden, in hidden folders, or links that lead out of the root.
        closed: folders that cannot be listed, with the reason.
        whole: the path is a folder, so that what is not in `files` is not there.
    """

    root: Path
    files: tuple[tuple[str, Path], ...]
    ignored: int
    closed: tuple[tuple[str, str], ...]
    whole: bool

    @property
    def name(self) -> str:
        """The root as it is stored with the documents."""
        return _readable(self.root)


def walk(path: Path) -> Walk:
    """Look for readable files at `path`, a folder or a file; hidden files and folders are passed by.

    Raises:
        NothingToRead: there is no such path, or nothing readable at it.
    """
    try:
        resolved = path.expanduser().resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise NothingToRead(f"{path} does not exist: name a folder or a file of documents") from error
    if not resolved.is_dir() and not resolved.is_file():
        raise NothingToRead(f"{path} is neither a folder nor a file: name one of documents")
    found = _folder(resolved) if resolved.is_dir() else _file(resolved)
    if not found.files and not found.closed:
        others = f" ({found.ignored} other files)" if found.ignored else ""
        raise NothingToRead(f"{path} has no readable documents{others}: readable are {', '.join(READABLE)}")
    return found


def _file(file: Path) -> Walk:
    return Walk(file, _named(file.parent, [file]), 0, (), whole=False)


def _folder(root: Path) -> Walk:
    files: list[Path] = []
    closed: list[tuple[str, str]] = []
    ignored = 0

    def closed_folder(error: OSError) -> None:
        closed.append((_source(root, Path(error.filename)), error.strerror or str(error)))

    for folder, folders, names in os.walk(root, onerror=closed_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(folder, name)
            if name.startswith(".") or file.suffix.lower() not in READABLE or not _inside(root, file):
                ignored += 1
            else:
                files.append(file)
    return Walk(root, _named(root, files), ignored, tuple(sorted(closed)), whole=True)


def _inside(root: Path, file: Path) -> bool:
    """True for a regular file of the root, not for pipes and devices, nor for links that lead out."""
    return file.is_file() and (not file.is_symlink() or file.resolve().is_relative_to(root))


def _named(root: Path, files: list[Path]) -> tuple[tuple[str, Path], ...]:
    readable = [file for file in files if file.suffix.lower() in READABLE]
    return tuple(sorted((_source(root, file), file) for file in readable))


def _source(root: Path, path: Path) -> str:
    return _readable(path.relative_to(root.parent))


def _readable(path: Path) -> str:
    """The path as text. Names of files are bytes: those that are no UTF-8 could be read, but never passed on."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
