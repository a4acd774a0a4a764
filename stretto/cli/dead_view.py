"""Dead view: dead letters as people and programs see them. What a message holds is shown only when it is asked for."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from stretto.bus.dead_letter_office import KeptLetter
from stretto.cli.terminal import printable

__all__ = ["LIST_COLUMNS", "letter_data", "letter_lines", "list_row", "readable"]

LIST_COLUMNS: Final = ("letter", "given up", "state", "kind", "deliveries", "size", "came on", "reason")
_SHOWN_CHARS: Final = 80
_ROW_BYTES: Final = 16


def list_row(kept: KeptLetter) -> Sequence[object]:
    """One line of the list."""
    letter = kept.letter
    return (
        kept.number,
        _time(kept.at),
        kept.standing.state,
        letter.kind,
        letter.deliveries,
        f"{len(letter.data)} B",
        _short(letter.origin),
        _short(letter.reason),
    )


def letter_lines(kept: KeptLetter) -> Iterator[tuple[str, object]]:
    """One letter in full, but for what the message holds."""
    letter, standing = kept.letter, kept.standing
    yield "letter", f"{kept.number} ({kept.id})"
    settled = f", {_time(standing.at)}, by {standing.by}" if standing.at else ""
    yield "state", f"{standing.state}{settled}"
    yield "kind", letter.kind
    yield "came on", letter.origin
    yield "tenant", kept.tenant or "its subject does not say"
    stored = f", stored {_time(letter.at)}" if letter.at else ""
    yield "message", f"{letter.seq} of {letter.stream or 'an unknown stream'}{stored}"
    times = "delivery" if letter.deliveries == 1 else "deliveries"
    yield "given up", f"{_time(kept.at)}, by {kept.sender or 'nobody known'}, after {letter.deliveries} {times}"
    yield "error", letter.error
    yield "reason", letter.reason
    yield "headers", ", ".join(letter.headers) or "none"
    yield "size", f"{len(letter.data)} bytes{'' if letter.complete else ' kept, not the whole message'}"


def letter_data(kept: KeptLetter, *, with_data: bool = False) -> dict[str, Any]:
    """One letter for programs; the bytes in base64."""
    letter, standing = kept.letter, kept.standing
    data: dict[str, Any] = {
        "number": kept.number,
        "id": kept.id,
        "state": standing.state,
        "settled_by": standing.by or None,
        "settled_at": standing.at.isoformat() if standing.at else None,
        "kind": letter.kind,
        "origin": letter.origin,
        "tenant": kept.tenant or None,
        "stream": letter.stream,
        "seq": letter.seq,
        "stored_at": letter.at.isoformat() if letter.at else None,
        "given_up_at": kept.at.isoformat(),
        "given_up_by": kept.sender,
        "deliveries": letter.deliveries,
        "error": letter.error,
        "reason": letter.reason,
        "size_bytes": len(letter.data),
        "complete": letter.complete,
        "header_names": list(letter.headers),
    }
    if with_data:
        data["headers"] = dict(letter.headers)
        data["data_base64"] = base64.b64encode(letter.data).decode()
    return data


def readable(data: bytes, headers: Mapping[str, str]) -> str:
    """What a message holds: its headers, and its bytes as text if they are one, else as rows of hex."""
    lines = [f"{name}: {printable(value)}" for name, value in headers.items()]
    return "\n".join([*lines, *([""] if lines else []), _text(data)])


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _hex(data)
    return text if printable(text) == text else _hex(data)


def _hex(data: bytes) -> str:
    rows = (data[start : start + _ROW_BYTES] for start in range(0, len(data), _ROW_BYTES))
    return "\n".join(
        f"{number * _ROW_BYTES:08x}  {row.hex(' '):<{3 * _ROW_BYTES}} {''.join(map(_character, row))}"
        for number, row in enumerate(rows)
    )


def _character(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 else "."


def _time(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 3]}..."
