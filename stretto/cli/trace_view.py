"""TraceView: a run's story as a tree with bars for time, on a terminal or in a file."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.text import Text

from stretto.cli.moments import local, span
from stretto.cli.terminal import printable
from stretto.cli.trace_line import Style, TraceLine, lines_of, spent
from stretto.cli.trace_scale import TraceScale, scale_of
from stretto.timeline.story import Period, Story

__all__ = ["line_text", "story_text", "summary_text"]

NARROWEST: Final = 60
_LABEL_SHARE: Final = 0.56
_TIME_CHARS: Final = 8
_LONGEST_LABEL: Final = 72
_BARS: Final[dict[Style, str]] = {"work": "━", "error": "━", "step": "─", "wait": "·", "note": "─"}
_PLAIN_BARS: Final[dict[Style, str]] = {"work": "=", "error": "=", "step": "-", "wait": ".", "note": "-"}
_STYLES: Final[dict[Style, str]] = {"work": "bold", "error": "red", "step": "", "wait": "yellow", "note": "dim"}


def story_text(
    story: Story, *, width: int, now: datetime | None = None, height: int | None = None, ascii_only: bool = False
) -> Text:
    """The story in lines of at most `width` columns; of at most `height` lines, the latest of them.

    Args:
        now: until when a run that goes on is drawn.
    """
    width = max(NARROWEST, width)
    label_chars = min(_LONGEST_LABEL, int(width * _LABEL_SHARE))
    lines = list(lines_of(story))
    scale = _scale(story, lines, now or datetime.now(UTC), width - label_chars - _TIME_CHARS - 2)
    head, foot = _head(story, width), _foot(story, width)
    bars = _PLAIN_BARS if ascii_only else _BARS
    body = [_line(one, scale, label_chars, bars) for one in lines]
    if height is not None and len(body) > (room := max(1, height - len(head) - len(foot) - 2)):
        body = (
            [Text(f"({len(body) - room + 1} lines before)", style="dim"), *body[1 - room :]] if room > 1 else body[-1:]
        )
    cut = f"without {span(scale.cut_s)} of waiting" if scale.cut_s else ""
    ends = f"0{_took(scale.seconds):>{scale.columns - 1}}"
    axis = Text(f"{_cut(cut, label_chars):>{label_chars}} {'':>{_TIME_CHARS}} {ends}", style="dim")
    return Text("\n").join([*head, axis, *body, *foot])


def summary_text(story: Story, *, width: int) -> Text:
    """What run it was, how it ended, and what it took."""
    return Text("\n").join([*_head(story, width), *_foot(story, width)])


def line_text(line: TraceLine, story: Story) -> str:
    """One line without a bar: when it began, how long it took."""
    began = line.period.began if line.period else None
    after = f"{_took((began - story.period.began).total_seconds())}" if began and story.period.began else ""
    took = _took(line.period.seconds) if line.period else ""
    more = f"  {_one_line(line.more)}" if line.more else ""
    return f"{after:>{_TIME_CHARS}} {took:>{_TIME_CHARS}}  {'  ' * line.depth}{_one_line(line.text)}{more}"


def _head(story: Story, width: int) -> list[Text]:
    took = story.period.seconds
    state = story.state if story.state != "open" else "goes on"
    in_time = f" in {_took(took)}" if took is not None else ""
    at = f", {local(story.period.began)}" if story.period.began else ""
    style = {"completed": "green", "open": "cyan"}.get(story.state, "red")
    first = Text.assemble("run ", (story.run, "bold"), " ", (f"{state}{in_time}", style), at)
    first.truncate(width, overflow="ellipsis")
    asked = Text(_cut(f"{story.principal} asks: {_one_line(story.text)}", width))
    return [first, asked]


def _foot(story: Story, width: int) -> list[Text]:
    attempts = sum(len(task.attempts) for task in story.tasks)
    calls = f"{story.usage.model_calls} calls of models, {story.usage.tool_calls} of tools"
    parts = [f"{len(story.tasks)} tasks, {attempts} attempts", calls, spent(story.usage)]
    lines = [Text(_cut(", ".join(part for part in parts if part), width))]
    if story.state in ("failed", "rejected", "cancelled") and story.answer:
        lines.append(Text(_cut(_one_line(story.answer), width), style="red"))
    if story.missing:
        lines.append(Text(_cut(f"note: {story.missing}", width), style="yellow"))
    return lines


def _scale(story: Story, lines: Sequence[TraceLine], now: datetime, columns: int) -> TraceScale:
    ends = [one.period.ended for one in lines if one.period and one.period.ended]
    return scale_of(story, max([*ends, story.period.ended or now, story.period.began or now]), max(8, columns))


def _line(line: TraceLine, scale: TraceScale, label_chars: int, bars: dict[Style, str]) -> Text:
    style = _STYLES[line.style]
    indent = "  " * line.depth
    if line.period is None:
        return Text(
            _cut(f"{indent}{_one_line(line.text)}{f': {line.more}' if line.more else ''}", scale.columns + label_chars),
            style=style,
        )
    label = _label(f"{indent}{_one_line(line.text)}", line.more, label_chars)
    took = _took(line.period.seconds) if line.period.seconds is not None else ""
    found = Text.assemble((f"{label:{label_chars}}", style), " ", f"{took:>{_TIME_CHARS}}", " ")
    before, bar = _bar(line.period, scale, bars[line.style])
    return found.append(" " * before).append(bar, style=style)


def _bar(period: Period, scale: TraceScale, char: str) -> tuple[int, str]:
    """How many columns stand before it, and itself: at least one column, and a point for what has no beginning."""
    at = period.began or period.ended
    if at is None:
        return 0, ""
    first = min(max(0, int(scale.place(at))), scale.columns - 1)
    if period.ended is None:
        return first, char * max(1, scale.columns - first - 1) + ">"
    last = min(max(first, round(scale.place(period.ended)) - 1), scale.columns - 1)
    return first, char * (last - first + 1)


def _label(text: str, more: str, chars: int) -> str:
    if more and len(text) + 2 + len(more) <= chars:
        return f"{text}  {more}"
    if more and len(text) + 8 <= chars:
        return _cut(f"{text}  {more}", chars)
    return _cut(text, chars)


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1_000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 99.995 else span(seconds)
