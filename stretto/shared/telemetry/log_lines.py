"""Log lines: how a record looks to a person, and to a program. Both say what was worked on."""

import json
import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry import trace

from stretto.bus.tracing import trace_of
from stretto.bus.work import Work, current_work
from stretto.shared.telemetry.log_guard import Raised, message_of, raised_in

__all__ = ["JsonLines", "TextLines"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_COLOURS: Final = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31;1m"}
_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"
_MORE: Final = "    (STRETTO_LOG_ERROR_TEXTS=true adds what such errors say)"
_SHORT: Final = 8
"""So much of a run's id is shown to people: as much as it takes to find it."""


class JsonLines(logging.Formatter):
    """One JSON object a line. What is not known is left out.

    Args:
        texts: with what errors say.
    """

    def __init__(self, *, texts: bool = False) -> None:
        super().__init__()
        self._texts = texts
        self.service = ""
        self.instance = ""

    def format(self, record: logging.LogRecord) -> str:
        """`time` is RFC 3339 in UTC; `trace_id` that of the run, whether it is traced or not."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": message_of(record, texts=self._texts),
            "service": self.service,
            "instance": self.instance,
            **_ids(current_work()),
        }
        raised = raised_in(record, texts=self._texts)
        if raised:
            said["error"] = _as_json(raised)
        return _in_one_line(json.dumps({name: one for name, one in said.items() if one != ""}, ensure_ascii=False))


class TextLines(logging.Formatter):
    """One line for people; an error's places are below it.

    Args:
        coloured: with colours, as escape sequences.
        dated: with the date; the time alone is enough where somebody watches.
        texts: with what errors say.
    """

    def __init__(self, *, coloured: bool = False, dated: bool = False, texts: bool = False) -> None:
        super().__init__()
        self._coloured = coloured
        self._pattern = "%Y-%m-%d %H:%M:%S" if dated else "%H:%M:%S"
        self._texts = texts

    def format(self, record: logging.LogRecord) -> str:
        """The time is local."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime(self._pattern)
        level = self._colour(_COLOURS.get(record.levelname, ""), f"{record.levelname:<7}")
        name = self._colour(_DIM, record.name.removeprefix("stretto."))
        line = f"{self._colour(_DIM, at)} {level} {name}: {_in_one_line(message_of(record, texts=self._texts))}"
        work = current_work()
        if work:
            line += self._colour(_DIM, f"  [{_in_short(work)}]")
        raised = raised_in(record, texts=self._texts)
        if raised is None:
            return line
        below = [*_below(raised), *([] if self._texts else [_MORE])]
        return "\n".join([line, *(self._colour(_DIM, one) for one in below)])

    def _colour(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._coloured and colour else text


def _ids(work: Work | None) -> dict[str, Any]:
    here = trace.get_current_span().get_span_context()
    span = {"trace_id": f"{here.trace_id:032x}", "span_id": f"{here.span_id:016x}"} if here.is_valid else {}
    if work is None:
        return span
    ids: dict[str, Any] = {"tenant": work.tenant, "run": work.run, "role": work.role, "task": work.task}
    if work.task:
        ids["attempt"] = work.attempt
    ids["trace_id"] = trace_of(work.tenant, work.run)
    if span.get("trace_id") == ids["trace_id"]:
        ids["span_id"] = span["span_id"]
    return ids


def _as_json(raised: Raised) -> dict[str, Any]:
    said: dict[str, Any] = {"type": raised.kind, "traceback": [_home(one) for one in raised.places]}
    if raised.text:
        said["text"] = raised.text
    if raised.causes:
        said["causes"] = [_as_json(one) for one in raised.causes]
    return said


def _below(raised: Raised, indent: str = "    ") -> Iterator[str]:
    text = f": {_in_one_line(raised.text)}" if raised.text else ""
    yield f"{indent}{raised.kind}{text}"
    for place in raised.places:
        yield f"{indent}  at {_in_one_line(_home(place))}"
    for cause in raised.causes:
        yield f"{indent}from"
        yield from _below(cause, f"{indent}  ")


def _in_short(work: Work) -> str:
    run = f"run {work.run[:_SHORT]}"
    return f"{run} {work.task}/{work.attempt}" if work.task else run


def _in_one_line(text: str) -> str:
    """A line of a log must not be able to look like two, or to speak to a terminal."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _home(place: str) -> str:
    """A place with `~` for the user's home, which is nobody else's business."""
    home = os.path.expanduser("~")  # noqa: PTH111 (it cannot fail)
    return f"~{place[len(home) :]}" if len(home) > 1 and place.startswith(f"{home}{os.sep}") else place
