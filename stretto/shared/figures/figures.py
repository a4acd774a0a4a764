"""Figures: what is told of a deployment as a whole, at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from stretto.shared.contracts.answer import RunEnd
from stretto.shared.contracts.usage import Usage

__all__ = ["Figures", "Lately", "Queue", "RoleFigures", "RunFigures"]


@dataclass(frozen=True, slots=True)
class Queue:
    """The tasks of a role.

    Attributes:
        waiting: no agent has them yet; in_work: one has them, or had them and they come again.
        suspects: those whose agents died: they are given out one at a time.
        oldest_s: how many seconds ago the oldest of `waiting` was queued, by the server's clock; 0 where none waits.
    """

    waiting: int
    in_work: int
    suspects: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class RoleFigures:
    """One role.

    Attributes:
        alive: how many processes serve it; they have `slots` together, of which `busy` are taken.
        queue: None where the role has none: that of supervisors, and of the memory.
    """

    role: str
    alive: int
    slots: int
    busy: int
    queue: Queue | None


@dataclass(frozen=True, slots=True)
class RunFigures:
    """The runs that are not over.

    Attributes:
        open: all of them; counted now and then, not at each reading.
        in_flight: those that supervisors look after, as they told in their last beats.
        backlog: messages (requests, results, ...) that no supervisor has taken in yet.
        parked: those that wait for people or the clock alone: what is left of `open`, and was lately. At the first reading it may be
            off by runs that have just begun or ended. None while no supervisor is alive: nobody knows then.
    """

    open: int
    in_flight: int
    backlog: int
    parked: int | None


@dataclass(frozen=True, slots=True)
class Lately:
    """What came of the runs that ended from `since` on, as their answers tell.

    Attributes:
        ended: how many, by state; states that no run ended in are left out.
        failed_tasks: of these runs, those that succeeded nevertheless included.
        retries: attempts at their tasks beyond the first.
        usage: what they took; it is told when a run ends, however long ago it was spent.
    """

    since: datetime
    ended: Mapping[RunEnd, int]
    failed_tasks: int
    retries: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Figures:
    """A deployment at one moment.

    Attributes:
        at: by the server's clock.
        roles: by name.
        dead_letters: those that are not settled.
        lately: None where it was not asked for.
    """

    at: datetime
    roles: tuple[RoleFigures, ...]
    runs: RunFigures
    dead_letters: int
    lately: Lately | None = None
