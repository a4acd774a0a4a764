"""TraceScale: where a moment of a run stands in a bar. Long times in which nothing went on are cut out: they would flatten the rest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stretto.timeline.story import Period, Story

__all__ = ["TraceScale", "scale_of"]

_LONG: Final = 3.0
"""A pause is cut out when it is so many times as long as all that went on."""
_CUT_COLUMNS: Final = 2


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A stretch of time, from so many seconds after the beginning on, and the columns that it takes."""

    begin_s: float
    seconds: float
    column: float
    columns: float


@dataclass(frozen=True, slots=True)
class TraceScale:
    """What of a run's time stands where.

    Attributes:
        seconds: the whole; cut_s: how much of it is cut out.
    """

    began: datetime
    seconds: float
    columns: int
    cut_s: float
    _stretches: tuple[_Stretch, ...]

    def place(self, at: datetime) -> float:
        """In columns from the left."""
        after_s = (at - self.began).total_seconds()
        for one in self._stretches:
            if after_s <= one.begin_s + one.seconds:
                share = (after_s - one.begin_s) / one.seconds if one.seconds else 0.0
                return one.column + max(0.0, share) * one.columns
        return float(self.columns)


def scale_of(story: Story, ended: datetime, columns: int) -> TraceScale:
    """The scale of a story that is drawn until `ended`."""
    began = story.period.began or ended
    whole_s = max(0.0, (ended - began).total_seconds())
    pauses = _pauses(_busy(story), began, ended)
    busy_s = whole_s - sum(end - begin for begin, end in pauses)
    cut = [(begin, end) for begin, end in pauses if end - begin > _LONG * max(busy_s, 1.0)]
    cut = cut[: columns // (4 * _CUT_COLUMNS)]
    cut_s = sum(end - begin for begin, end in cut)
    room = columns - _CUT_COLUMNS * len(cut)
    per_s = room / (whole_s - cut_s) if whole_s > cut_s else 0.0
    stretches: list[_Stretch] = []
    at_s = column = 0.0
    for begin, end in [*cut, (whole_s, whole_s)]:
        stretches.append(_Stretch(at_s, begin - at_s, column, (begin - at_s) * per_s))
        column += (begin - at_s) * per_s
        if end > begin:
            stretches.append(_Stretch(begin, end - begin, column, _CUT_COLUMNS))
            column += _CUT_COLUMNS
        at_s = end
    return TraceScale(began, whole_s, columns, cut_s, tuple(stretches))


def _busy(story: Story) -> Iterator[Period]:
    """When something went on, or was to go on as soon as possible."""
    yield story.planning
    for task in story.tasks:
        for attempt in task.attempts:
            yield from (one.period for one in attempt.sittings)
            if not attempt.sittings:
                yield attempt.period
            yield from (one.period for one in attempt.steps if one.kind != "ask")
            yield from (one.period for one in attempt.waits if not one.why.startswith("a person"))


def _pauses(busy: Iterator[Period], began: datetime, ended: datetime) -> Sequence[tuple[float, float]]:
    """What lies between, in seconds after the beginning."""
    whole_s = (ended - began).total_seconds()
    stretches = [
        ((first - began).total_seconds(), ((one.ended or ended) - began).total_seconds())
        for one in busy
        if (first := one.begin_or_end) is not None
    ]
    latest, pauses = 0.0, list[tuple[float, float]]()
    for begin, end in sorted([*stretches, (whole_s, whole_s)]):
        if begin > latest:
            pauses.append((latest, begin))
        latest = max(latest, end)
    return pauses
