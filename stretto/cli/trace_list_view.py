"""trace_list_view: runs with what they took, as a table that fits a terminal, or whole for a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from stretto.cli.dollars import dollars
from stretto.cli.latest_runs import ListedRun
from stretto.cli.moments import span
from stretto.cli.terminal import printable

__all__ = ["failed_attempts", "runs_text", "seconds_of", "tokens_of"]

_GAP: Final = "  "
_BAR_CHARS: Final = 6
_ID_CHARS: Final = 8
_REQUEST_CHARS: Final = 60
_LEAST_REQUEST_CHARS: Final = 16
_NAME_CHARS: Final = 12
_FEW_SECONDS: Final = 100
_DISPENSABLE: Final = ("calls", "tokens", "playbook", "", "asked")
"""These columns give way to the request where there is no room, in this order; the one without a name is the bars."""
_STATES: Final = {"failed": "red", "rejected": "red", "cancelled": "yellow", "waiting": "yellow", "open": "cyan"}


class _Scale(NamedTuple):
    """What is the same for all rows: the time, the longest run, and how much of an id tells the runs apart (None: nothing is cut)."""

    now: datetime
    longest_s: float
    id_chars: int | None


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    cell: Callable[[ListedRun, _Scale], str]
    is_number: bool = False


_COLUMNS: Final = (
    _Column("run", lambda run, scale: run.run[: scale.id_chars]),
    _Column("asked", lambda run, scale: _asked(run.asked_at.astimezone(), scale), is_number=True),
    _Column("took", lambda run, scale: _took(seconds_of(run, scale.now)), is_number=True),
    _Column("", lambda run, scale: _bar(seconds_of(run, scale.now), scale.longest_s)),
    _Column("state", lambda run, _: run.state),
    _Column("playbook", lambda run, scale: _name(run.answer.playbook, scale) if run.answer else ""),
    _Column("calls", lambda run, _: f"{run.answer.usage.model_calls:,}" if run.answer else "", is_number=True),
    _Column("tokens", lambda run, _: _count(tokens_of(run)) if run.answer else "", is_number=True),
    _Column("cost", lambda run, _: dollars(run.answer.usage.cost_usd) if run.answer else "", is_number=True),
    _Column("failed", lambda run, _: str(failed_attempts(run) or ""), is_number=True),
)


def runs_text(runs: Sequence[ListedRun], *, now: datetime, width: int | None) -> Text:
    """One line a run below a head, at most `width` columns wide; None: with all there is, as for a file.

    Requests are cut, ids too where there is a width: each as far as tells the runs shown apart.
    """
    scale = _Scale(
        now=now,
        longest_s=max((seconds_of(run, now) for run in runs), default=0.0),
        id_chars=None if width is None else _telling_chars([run.run for run in runs]),
    )
    columns = [_laid_out(column, runs, scale) for column in _COLUMNS]
    if width is None:
        request_chars = _REQUEST_CHARS
    else:
        for name in _DISPENSABLE:
            if _room(columns, width) >= _LEAST_REQUEST_CHARS:
                break
            columns = [one for one in columns if one[0].strip() != name]
        request_chars = max(0, _room(columns, width))
    head = _GAP.join([*(cells[0] for cells in columns), "request"])
    lines = [Text(head if width is None else head[:width].rstrip(), style="bold")]
    for number, run in enumerate(runs, start=1):
        cells = [cells[number] for cells in columns]
        line = _GAP.join([*cells, _cut(" ".join(printable(run.text).split()), request_chars)]).rstrip()
        lines.append(Text(line, style=_STATES.get(run.state, "")))
    return Text("\n").join(lines)


def seconds_of(run: ListedRun, now: datetime) -> float:
    """How long it took; of a run that goes on, how long it has."""
    return run.seconds if run.seconds is not None else max(0.0, (now - run.asked_at).total_seconds())


def tokens_of(run: ListedRun) -> int:
    return run.answer.usage.input_tokens + run.answer.usage.output_tokens if run.answer else 0


def failed_attempts(run: ListedRun) -> int:
    """Attempts at its tasks that failed: all of a task but the one that succeeded. 0 while it goes on: nobody has counted them yet."""
    tasks = run.answer.tasks if run.answer else ()
    return sum(one.attempts - (one.state == "succeeded") for one in tasks if one.attempts)


def _laid_out(column: _Column, runs: Sequence[ListedRun], scale: _Scale) -> list[str]:
    """The column's head and cells, all equally wide."""
    cells = [column.name, *(printable(column.cell(run, scale)) for run in runs)]
    widest = max(map(cell_len, cells))
    if column.is_number:
        return [f"{cell:>{widest}}" for cell in cells]
    return [set_cell_size(cell, widest) for cell in cells]


def _room(columns: Sequence[Sequence[str]], width: int) -> int:
    """What is left for the request."""
    return width - sum(cell_len(cells[0]) + len(_GAP) for cells in columns)


def _telling_chars(ids: Sequence[str]) -> int:
    """How much of the ids tells them apart."""
    alike = [_common(one, other) for one, other in pairwise(sorted(set(ids)))]
    return max(_ID_CHARS, 1 + max(alike, default=0))


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _bar(seconds: float, longest_s: float) -> str:
    return "=" * max(1, round(seconds / longest_s * _BAR_CHARS)) if longest_s else "="


def _asked(at: datetime, scale: _Scale) -> str:
    is_today = at.date() == scale.now.astimezone().date()
    return f"{at:%H:%M}" if is_today and scale.id_chars is not None else f"{at:%Y-%m-%d %H:%M}"


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _FEW_SECONDS else span(seconds)


def _count(number: int) -> str:
    """`950`, `12.3k`, `4.0M`."""
    if number < 10_000:
        return f"{number:,}"
    return f"{number / 1_000:.1f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def _name(name: str, scale: _Scale) -> str:
    return name if scale.id_chars is None else _cut(name, _NAME_CHARS)


def _cut(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return text
    return f"{set_cell_size(text, cells - 1).rstrip()}…" if cells > 0 else ""
