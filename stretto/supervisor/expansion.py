"""Expansion: the tasks of a run as far as its plan has unfolded, revisions included."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from stretto.supervisor.sources import Done
from stretto.supervisor.task_state import TaskState
from stretto.supervisor.unfolding import End, Ground, Unfolded, unfold

__all__ = ["Expansion", "advance", "expand"]


class Expansion(NamedTuple):
    """A plan as far as it has unfolded.

    Attributes:
        steps: what each step of the plan has come to.
        active: the tasks in progress, by the position of their step; steps without such are left out.
        undone: how many steps are not done.
        end: why the run is over, if it is.
    """

    steps: tuple[Unfolded, ...] = ()
    active: Mapping[int, tuple[TaskState, ...]] = MappingProxyType({})
    undone: int = 0
    end: End | None = None

    @property
    def tasks(self) -> Iterator[TaskState]:
        """All tasks with their later versions, each after those it takes input from."""
        return (task for step in self.steps for task in step.tasks)

    @property
    def in_progress(self) -> list[TaskState]:
        """The tasks that are due, delayed or parked, in the order of `tasks`."""
        return [task for position in sorted(self.active) for task in self.active[position]]

    @property
    def waits_for_people(self) -> bool:
        """Whether something is in progress, and all of that waits for people."""
        return bool(self.active) and all(one.status == "parked" for tasks in self.active.values() for one in tasks)


def expand(ground: Ground) -> Expansion:
    """Unfold the whole plan."""
    count = len(ground.shape.steps)
    return advance(Expansion(steps=(Unfolded(),) * count, undone=count), ground, range(count))


def advance(expansion: Expansion, ground: Ground, positions: Iterable[int]) -> Expansion:
    """The expansion after something new was recorded of the steps at `positions`. It is what `expand` gives, at the price of what changed.

    A step follows from its own records and from what the steps before it have done, and what is done stays as it is: so besides these
    steps only those need a look that take input from one that has just become done.
    """
    shape = ground.shape
    steps = list(expansion.steps)
    active = dict(expansion.active)
    undone, end = expansion.undone, expansion.end

    def lookup(task: str) -> Done | None:
        return steps[shape.positions[task]].done.get(task)

    queued = set(positions)
    ahead = sorted(queued)
    while ahead:
        position = heapq.heappop(ahead)
        was_done = bool(steps[position].done)
        steps[position] = now = unfold(shape.steps[position], ground, lookup)
        if in_progress := now.in_progress:
            active[position] = in_progress
        else:
            active.pop(position, None)
        end = end or now.end
        if now.done and not was_done:
            undone -= 1
            for taker in shape.takers[position]:
                if taker not in queued and all(steps[gate].done for gate in shape.gates[taker]):
                    queued.add(taker)
                    heapq.heappush(ahead, taker)
    if not undone:
        end = end or End("completed")
    return Expansion(tuple(steps), active, undone, end)
