"""Log guard: what of a log record may be said. What was asked, read or answered, keys and headers are in no log.

The texts of errors that nobody foresaw may hold any of it, so an error is told by its type and by the places that it came through. The
texts of the bus's own errors are ours, and say where and why. Libraries are heard from WARNING up: below that some write down what they
send. What our own code, and the code of agents, says in so many words is left as it is.
"""

import logging
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from stretto.bus.errors import BusError

__all__ = ["Raised", "is_let_in", "message_of", "origin_of", "raised_in"]

_LIBRARIES: Final = frozenset(
    {
        "aiohttp",
        "anthropic",
        "anyio",
        "asyncio",
        "bs4",
        "charset_normalizer",
        "chromadb",
        "filelock",
        "genai_prices",
        "grpc",
        "httpcore",
        "httpcore2",
        "httpx",
        "httpx2",
        "interlock",
        "jinja2",
        "jsonschema",
        "markdown_it",
        "mcp",
        "nats",
        "onnxruntime",
        "openai",
        "opentelemetry",
        "pydantic_settings",
        "pypdf",
        "rich",
        "sse_starlette",
        "tokenizers",
        "urllib3",
        "uvicorn",
        "uvloop",
        "websockets",
    }
)
_NATS: Final = "nats.errors"
"""What its errors say is what the server says: of subjects and permissions, never of messages."""
_WARNINGS: Final = "py.warnings"
_MUTE: Final = frozenset({"mcp"})
"""These say what they could not read."""
_FRAMES: Final = 50
_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Raised:
    """An error as a log may tell it.

    Attributes:
        kind: its type, with its module.
        places: `FILE:LINE FUNCTION` for each frame that it came through, the outermost first.
        text: what it says; empty unless texts are asked for.
        causes: the errors that it came from, or that it holds.
    """

    kind: str
    places: tuple[str, ...]
    text: str = ""
    causes: tuple["Raised", ...] = field(default=())


def is_let_in(record: logging.LogRecord) -> bool:
    """Whether the record may stand in the log at all."""
    origin = record.name.partition(".")[0]
    if origin in _MUTE:
        return record.levelno >= logging.CRITICAL
    return record.levelno >= logging.WARNING or origin not in _LIBRARIES


def message_of(record: logging.LogRecord, *, texts: bool = False) -> str:
    """What the record says, errors in it by their types. `texts`: with all that errors say."""
    if texts:
        return record.getMessage()
    if record.name == _WARNINGS:
        return _warning(record)
    if record.name == "asyncio":  # the lines below its first, and its arguments, show values
        return str(record.msg).partition("\n")[0]
    said, given = _told(record.msg), record.args
    if not given:
        return str(said)
    try:
        if isinstance(given, Mapping):
            return str(said) % {name: _told(one) for name, one in given.items()}
        return str(said) % tuple(_told(one) for one in given)
    except (TypeError, ValueError, KeyError):  # a call that does not fit its own words
        return str(said)


def raised_in(record: logging.LogRecord, *, texts: bool = False) -> Raised | None:
    """The error that the record tells of. `texts`: with what it says."""
    error = record.exc_info[1] if record.exc_info else None
    return _raised(error, texts=texts, depth=_DEPTH) if error else None


def origin_of(error: BaseException) -> str:
    """The type of an error, or of the first one in a group, and the place where it was raised, in a few words."""
    if isinstance(error, BaseExceptionGroup):
        return origin_of(error.exceptions[0])  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]  # of any errors
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__


def _raised(error: BaseException, *, texts: bool, depth: int) -> Raised:
    kind = type(error)
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return Raised(
        kind=kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        places=tuple(f"{one.filename}:{one.lineno} {one.name}" for one in frames),
        text=str(error) if texts else "",
        causes=tuple(_raised(one, texts=texts, depth=depth - 1) for one in _causes(error)) if depth else (),
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    if error.__cause__ is not None:
        yield error.__cause__
    elif error.__context__ is not None and not error.__suppress_context__:
        yield error.__context__
    if isinstance(error, BaseExceptionGroup):
        yield from error.exceptions[:_DEPTH]


def _told(value: object) -> object:
    if isinstance(value, BaseException):
        name = type(value).__name__
        return str(value) or name if isinstance(value, BusError) or type(value).__module__ == _NATS else name
    return value


def _warning(record: logging.LogRecord) -> str:
    """Which kind of warning, and where: what warnings say may show values."""
    shown = record.args[0] if isinstance(record.args, tuple) and record.args else record.msg
    place, _, rest = str(shown).partition(": ")
    kind = rest.partition(":")[0]
    return f"{place}: {kind}" if kind.isidentifier() else "a warning"
