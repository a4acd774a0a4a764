"""Changes: how the tasks of a run came to stand where they stand, from its log followed fact by fact."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stretto.supervisor.facts import Fact
from stretto.supervisor.state import RunState, evolve
from stretto.supervisor.task_state import TaskState
from stretto.timeline.story import TaskState as Status

__all__ = ["Change", "Changes", "follow"]


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` on the task stood so, in this attempt."""

    at: datetime
    status: Status
    attempt: int


@dataclass(slots=True)
class Changes:
    """Those of one task, and how it stands now."""

    task: TaskState
    history: list[Change] = field(default_factory=list[Change])


def follow(facts: Sequence[Fact]) -> tuple[RunState, dict[str, Changes]]:
    """The state that the log gives, and by task how it came to that, in the plan's order."""
    state = RunState()
    found: dict[str, Changes] = {}
    for fact in facts:
        state = evolve(state, fact)
        for task in state.tasks:
            changes = found.setdefault(task.id, Changes(task))
            changes.task = task
            now = (task.status, task.attempt)
            if not changes.history or (changes.history[-1].status, changes.history[-1].attempt) != now:
                at = task.moment.at if task.moment else fact.at
                changes.history.append(Change(at, task.status, task.attempt))
    in_order = [task.id for task in state.tasks]
    return state, {id_: found[id_] for id_ in in_order if id_ in found}
