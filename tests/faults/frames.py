"""Frames: cuts a stream of bytes of the NATS protocol into its commands, each with its payload."""

import re
from dataclasses import dataclass

__all__ = ["Frame", "Frames"]

_PAYLOAD = re.compile(rb"(?:H?PUB|H?MSG) .*?(\d+)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Frame:
    """One command: `words` of its line, and all its `data` as it travels."""

    words: tuple[str, ...]
    data: bytes

    @property
    def verb(self) -> str:
        return self.words[0].upper() if self.words else ""

    @property
    def subject(self) -> str:
        """Of a message that is published or delivered."""
        return self.words[1] if self.verb in {"PUB", "HPUB", "MSG", "HMSG"} else ""

    @property
    def reply(self) -> str:
        """Where a message asks to be answered; empty where it does not."""
        plain = {"PUB": 3, "HPUB": 4, "MSG": 4, "HMSG": 5}.get(self.verb)
        if plain is None or len(self.words) == plain:
            return ""
        return self.words[2 if self.verb in {"PUB", "HPUB"} else 3]


class Frames:
    """Takes bytes as they come and gives whole frames back; what is not whole yet is kept."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        self._kept += data
        found: list[Frame] = []
        while (frame := self._first()) is not None:
            found.append(frame)
        return found

    def _first(self) -> Frame | None:
        end = self._kept.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self._kept[:end])
        sized = _PAYLOAD.match(line)
        size = end + 2 + (int(sized[1]) + 2 if sized else 0)
        if len(self._kept) < size:
            return None
        data = bytes(self._kept[:size])
        del self._kept[:size]
        # CONNECT and INFO carry JSON, which is one word.
        words = line.decode("utf-8", "replace").split(maxsplit=1 if line[:1] in b"CIci{" else -1)
        return Frame(tuple(words), data)
