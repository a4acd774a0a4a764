"""ServerClock: the server's time, as far as its messages tell it. No decision goes by this machine's clock."""

from datetime import UTC, datetime, timedelta

__all__ = ["ServerClock"]

_WINDOW = timedelta(minutes=1)


class ServerClock:
    """Learns how far this machine's clock is off from the server's times on what it delivers.

    A message is at least as old as its way here, so the largest difference of the last minute or so is the nearest to the truth.
    """

    def __init__(self) -> None:
        self._offset: timedelta | None = None
        self._learned_at = datetime.min.replace(tzinfo=UTC)

    def note(self, at: datetime) -> None:
        """Learn from a message that the server stored at `at`."""
        here = datetime.now(UTC)
        offset = at - here
        if self._offset is None or offset >= self._offset or abs(here - self._learned_at) > _WINDOW:
            self._offset, self._learned_at = offset, here

    def now(self) -> datetime:
        """The server's time now, aware UTC; this machine's where no message came yet."""
        return datetime.now(UTC) + (self._offset or timedelta())
