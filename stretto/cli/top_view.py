"""Top view: a moment of a deployment as lines of a screen."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from stretto.bus.agent_card import AgentCard, ModelHealth
from stretto.cli.dollars import dollars
from stretto.cli.moments import since, span
from stretto.cli.terminal import printable
from stretto.cli.top_moment import Moment, health_of
from stretto.cli.top_pulse import Happening, Rate
from stretto.shared.figures import Lately, RoleFigures

__all__ = ["Line", "Look", "notice_lines", "top_lines"]

Look = Literal["plain", "title", "heading", "good", "bad", "busy", "dim"]
_STATES: Final = {"ready": "", "open": " open", "half_open": " half open", "unset": " unset"}
_SHORT: Final = 8
"""So much of a run's id is shown: enough to find it by."""
_USUAL_PREFIX: Final = "stretto"
_LEAST_EVENTS: Final = 3
_LEAST_ROLES: Final = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the screen, no longer than it is wide, and how it looks."""

    text: str
    look: Look = "plain"


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    is_number: bool = False


_ROLES: Final = (
    _Column("ROLE"),
    _Column("ALIVE", is_number=True),
    _Column("BUSY", is_number=True),
    _Column("QUEUED", is_number=True),
    _Column("OLDEST", is_number=True),
    _Column("DONE/MIN", is_number=True),
    _Column("FAILED", is_number=True),
    _Column("MODELS"),
)
_AGENTS: Final = (_Column("AGENT"), _Column("BUSY", is_number=True), _Column("UP", is_number=True), _Column("MODELS"))
_EVENTS: Final = (_Column("TIME"), _Column("RUN"), _Column("EVENT"))


def top_lines(moment: Moment, *, width: int, height: int | None = None) -> list[Line]:
    """The lines for a screen of this size; with no height all there are. Roles come first, then the newest events, then the agents."""
    head = _head(moment, width)
    roles = _table(_ROLES, [_role_row(one, moment) for one in moment.figures.roles], width)
    agents = _table(_AGENTS, [_agent_row(one, moment.figures.at) for one in sorted(moment.cards, key=_is_well)], width)
    events = _table(_EVENTS, [_event_row(one) for one in moment.happenings], width) if moment.happenings else []
    if height is not None:
        left = height - len(head)
        roles = _cut(roles, max(left, _LEAST_ROLES))
        left -= len(roles)
        kept = min(len(events), 1 + _LEAST_EVENTS)
        agents = _cut(agents, left - kept)
        events = events[: max(0, left - len(agents))]
    lines = [*head, *roles, *agents, *events]
    return [Line(_clip(one.text, width), one.look) for one in (lines if height is None else lines[:height])]


def notice_lines(notice: str, width: int) -> list[Line]:
    """What is wrong, broken between words; at most two lines of it."""
    return [Line(one, "bad") for one in textwrap.wrap(printable(notice), width, max_lines=2, placeholder=" ...")]


def _head(moment: Moment, width: int) -> list[Line]:
    figures = moment.figures
    runs = figures.runs
    parked = "?" if runs.parked is None else f"{runs.parked:,}"
    prefix = "" if moment.prefix == _USUAL_PREFIX else f"  prefix {moment.prefix}"
    letters = figures.dead_letters
    lines = [
        Line(_apart(f"stretto top  {printable(moment.url)}{prefix}", f"{moment.at:%H:%M:%S}", width), "title"),
        Line(
            _apart(
                f"runs    {runs.in_flight:,} in flight   {parked} parked   backlog {runs.backlog:,}",
                f"dead letters {letters:,}",
                width,
            ),
            "bad" if letters else "plain",
        ),
    ]
    if figures.lately is not None:
        lines.append(_lately(figures.lately, figures.at))
    return [*lines, *notice_lines(moment.notice, width)]


def _lately(lately: Lately, now: datetime) -> Line:
    usage, ended = lately.usage, lately.ended
    seconds = max(1.0, (now - lately.since).total_seconds())
    done, failed = ended.get("completed", 0), ended.get("failed", 0)
    others = "".join(f"   {ended[one]:,} {one}" for one in ("cancelled", "rejected") if ended.get(one))
    tokens = usage.input_tokens + usage.output_tokens
    return Line(
        f"{span(seconds):<8}{done:,} completed ({_per_min(done * 60 / seconds)}/min)   {failed:,} failed{others}"
        f"   {dollars(usage.cost_usd)}   {_short(tokens)} tokens   {lately.retries:,} retries"
    )


def _role_row(role: RoleFigures, moment: Moment) -> tuple[tuple[str, ...], Look]:
    queue, health = role.queue, health_of(role.role, moment.cards)
    rate = moment.rates.get(role.role, Rate() if queue else None) if moment.rates is not None else None
    suspects = f"{queue.suspects} suspect; " if queue and queue.suspects else ""
    cells = (
        role.role,
        str(role.alive),
        f"{role.busy}/{role.slots}" if role.slots else str(role.busy) if role.alive else "",
        _short(queue.waiting) if queue else "",
        _for(queue.oldest_s) if queue and queue.waiting else "",
        _per_min(rate.done_per_min) if rate else "",
        _short(rate.failed) if rate else "",
        suspects + (_models(health) if role.alive else "nobody serves it"),
    )
    look: Look = "plain"
    if not role.alive or (health and all(one.state != "ready" for one in health)):
        look = "bad"
    elif role.busy:
        look = "busy"
    return cells, look


def _agent_row(card: AgentCard, now: datetime) -> tuple[tuple[str, ...], Look]:
    up = _for((now - card.started_at).total_seconds())
    busy = f"{card.busy}/{card.slots}" if card.slots else str(card.busy)
    health = card.health or [ModelHealth(model=name) for name in card.models]
    failures = [(one.last_failure_at, one.last_failure) for one in health if one.last_failure_at]
    last = "".join(f"; {failure} {since(at, now)}" for at, failure in failures and [max(failures)])
    return (card.instance, busy, up, f"{_models(health)}{last}"), "busy" if card.busy else "plain"


def _is_well(card: AgentCard) -> bool:
    return all(one.state == "ready" for one in card.health)


def _event_row(happening: Happening) -> tuple[tuple[str, ...], Look]:
    at = f"{happening.at.astimezone():%H:%M:%S}"
    return (at, happening.run[:_SHORT], happening.text), "plain"


def _models(health: Iterable[ModelHealth]) -> str:
    """The chain, without the names of providers: they are long, and models' names say who made them."""
    return ", ".join(f"{one.model.partition(':')[2] or one.model}{_STATES[one.state]}" for one in health)


def _table(columns: Sequence[_Column], rows: Sequence[tuple[tuple[str, ...], Look]], width: int) -> list[Line]:
    """A heading and the rows. The last column takes what is left of the width; the first one gives way where that is too little."""
    texts = [tuple(printable(cell) for cell in cells) for cells, _ in rows]
    *fixed, last = columns
    widths = [max([len(column.title), *(len(row[number]) for row in texts)]) for number, column in enumerate(fixed)]
    least = max(len(last.title), min(max((len(row[-1]) for row in texts), default=0), width // 4))
    over = sum(widths) + 2 * len(widths) + least - width
    widths[0] -= max(0, min(over, widths[0] - max(len(fixed[0].title), width // 4)))

    def line(cells: Sequence[str]) -> str:
        shown = [
            f"{cell:>{size}}" if column.is_number else f"{_clip(cell, size):<{size}}"
            for cell, column, size in zip(cells, fixed, widths, strict=False)
        ]
        return "  ".join([*shown, cells[-1]])

    heading = Line(f"{line([column.title for column in columns]):<{width}}", "heading")
    return [heading, *(Line(line(cells), look) for cells, (_, look) in zip(texts, rows, strict=True))]


def _cut(lines: list[Line], height: int) -> list[Line]:
    """As many as there is room for, and how many there are besides."""
    if len(lines) <= height:
        return lines
    if height < 2:
        return []
    return [*lines[: height - 1], Line(f"... and {len(lines) - height + 1} more", "dim")]


def _apart(left: str, right: str, width: int) -> str:
    return f"{left}{' ' * max(2, width - len(left) - len(right))}{right}"


def _for(seconds: float) -> str:
    """A span that fits a column: `0.3s`, `45s`, `12m`, `3h05m`, `6d23h`."""
    minutes = int(seconds) // 60
    if seconds < 60:
        return f"{max(0.0, seconds):.1f}s" if seconds < 10 else f"{int(seconds)}s"
    if minutes < 60:
        return f"{minutes}m"
    if minutes < 24 * 60:
        return f"{minutes // 60}h{minutes % 60:02}m"
    return f"{minutes // 1_440}d{minutes % 1_440 // 60:02}h"


def _per_min(rate: float) -> str:
    return f"{rate:.1f}" if 0 < rate < 10 else _short(round(rate))


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _short(number: int) -> str:
    """A number in at most five characters or so."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if number >= size:
            scale = 1_000 if unit == "k" else size
            return f"{number / scale:.1f}{unit}" if number < 100 * scale else f"{number // scale}{unit}"
    return str(number)
