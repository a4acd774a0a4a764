"""What the log of a nats-server that did not start well means to the person who started it."""

import re
from pathlib import Path

from stretto.bus.server.options import ServerOptions

__all__ = ["damage", "why_not_started"]

_TAIL_BYTES = 16 * 1024

# Said of a stream that the server leaves out. A metafile or checksum that is merely missing is not among them: a kill
# while a stream is being created leaves that behind, and nothing was stored in it.
_LEFT_OUT = re.compile(
    r"\[(?:WRN|ERR)\]\s+"
    r"((?:Error (?:reading metafile|unmarshalling stream metafile|reading Stream metafile checksum|recreating stream)"
    r"|Stream metafile .*checksums do not match).*)"
)


def damage(log: Path) -> str | None:
    """The server's words on the first stream that it found damaged and left out at its start, None if it took all."""
    found = _LEFT_OUT.search(log.read_text(errors="replace"))
    return found[1] if found is not None else None


def why_not_started(log: Path, options: ServerOptions, port: int) -> str:
    """One sentence of cause and cure, the server's own last words, and where to read more."""
    words = _last_words(log)
    match words.lower():
        case text if "address already in use" in text:
            cause = f"port {port} on {options.host} is in use: stop what uses it, or choose another (-1: a free one)"
        case text if "cannot assign requested address" in text or "no such host" in text:
            cause = f"{options.host} is no address of this machine: choose another host, such as 127.0.0.1"
        case text if "permission denied" in text and "listen" in text:
            cause = f"this user may not listen on port {port}: choose one above 1023"
        case text if "no space left" in text:
            cause = f"the disk of {options.data_dir} is full: free some space"
        case text if "permission denied" in text or "read-only file system" in text:
            cause = f"this user may not write below {options.data_dir}: change its owner, or choose another directory"
        case text if "jetstream" in text:
            cause = f"the store in {options.data_dir / 'nats'} cannot be used: move it away, or restore a copy of it"
        case _:
            cause = "nats-server did not start"
    return f"{cause} (nats-server: {words}; log: {log})"


def _last_words(log: Path) -> str:
    """The fatal line if there is one, else the last line."""
    lines = [line for line in log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").splitlines() if line.strip()]
    fatal = [line.partition("[FTL] ")[2] for line in lines if "[FTL] " in line]
    return (fatal or lines or ["it said nothing"])[-1]
