"""Backlog: the runs that have tasks for which their role's queue has no room."""

from collections.abc import Collection

from stretto.bus.subjects import RunKey

__all__ = ["Backlog"]


class Backlog:
    """Who waits for room, role by role, the longest waiting first."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[RunKey, None]] = {}

    @property
    def roles(self) -> Collection[str]:
        """The roles whose queues are full."""
        return self._waiting.keys()

    def first(self, role: str) -> RunKey | None:
        """The run that waits longest for room in the role's queue."""
        return next(iter(self._waiting.get(role, ())), None)

    def note(self, key: RunKey, full: Collection[str] = ()) -> None:
        """The run waits for room in these queues, and in no others."""
        for role in full:
            self._waiting.setdefault(role, {}).setdefault(key)
        for role in [role for role in self._waiting if role not in full]:
            self._waiting[role].pop(key, None)
            if not self._waiting[role]:
                del self._waiting[role]

    def clear(self) -> None:
        """Nobody of these waits here any more."""
        self._waiting.clear()
