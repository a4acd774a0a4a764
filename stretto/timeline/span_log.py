"""SpanLog: the spans of one run, from among all that are kept on the bus."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from stretto.bus.connection import Connection
from stretto.bus.errors import StreamMissing
from stretto.bus.subjects import Subjects
from stretto.bus.tracing import trace_of
from stretto.timeline.recorded_span import RecordedSpan, spans_in

__all__ = ["FoundSpans", "SpanLog"]

_BEFORE: Final = timedelta(seconds=2)
_BEHIND: Final = timedelta(seconds=8)
"""Spans come when they end, in batches, a moment after what they tell of."""
_WORK: Final = timedelta(minutes=15)
"""So long may work go on of which the log says nothing."""
_MESSAGES: Final = 5_000
"""As many are read at the most: what a busy system tells in some minutes."""


class FoundSpans(NamedTuple):
    """What was found: the messages (OTLP) that hold spans of the run, among those of others; `cut` when there was more to look through than
    is looked through."""

    batches: tuple[bytes, ...] = ()
    cut: bool = False

    def of(self, trace: str) -> list[RecordedSpan]:
        """The spans of one trace, each once, in the order of their beginning."""
        found = {span.id: span for batch in self.batches for span in spans_in(batch, trace)}
        return sorted(found.values(), key=lambda one: one.began)


class SpanLog:
    """Spans are kept by the time at which they came. A run that waited for days is looked for only around the moments of its log."""

    def __init__(self, *, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects

    async def of_run(self, tenant: str, run: str, moments: Iterable[datetime]) -> FoundSpans:
        """What was told around these moments of the server's time.

        Raises:
            TimedOut: the bus does not answer.
        """
        trace, found, left = bytes.fromhex(trace_of(tenant, run)), list[bytes](), _MESSAGES
        for begin, end in _windows(moments):
            messages = await self._between(begin, end, left)
            left -= len(messages)
            found += [data for data in messages if trace in data]
            if left <= 0:
                break
        return FoundSpans(tuple(found), cut=left <= 0)

    async def _between(self, begin: datetime, end: datetime, at_most: int) -> Sequence[bytes]:
        stream, pattern = self._subjects.stream("SPANS"), self._subjects.any_span()
        jetstream = self._connection.jetstream
        try:
            first = await jetstream.peek(stream, pattern, since=begin)
            if first is None or first.at > end:
                return ()
            behind = await jetstream.peek(stream, pattern, since=end)
            until_seq = first.seq + at_most
            if behind is not None:
                until_seq = min(until_seq, behind.seq)
            return [one.data for one in await jetstream.read(stream, pattern, from_seq=first.seq, until_seq=until_seq)]
        except StreamMissing:  # a deployment that was made before there were spans
            return ()


def _windows(moments: Iterable[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Around each moment; those made one between which work may have gone on. Longer ones are waits, in which nothing is told."""
    begin: datetime | None = None
    end: datetime | None = None
    for moment in sorted(moments):
        if begin is None or end is None or moment - _WORK > end:
            if begin is not None and end is not None:
                yield begin, end
            begin = moment - _BEFORE
        end = moment + _BEHIND
    if begin is not None and end is not None:
        yield begin, end
