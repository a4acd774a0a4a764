"""PlanShape: a plan made ready to be followed: inputs parsed, tasks in order, revision loops laid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.supervisor.errors import PlanUnusable
from stretto.supervisor.graph import CycleFound, in_order, reach
from stretto.supervisor.sources import Input, TaskOutput, inputs_of

__all__ = ["MAX_ESCALATIONS", "Loop", "PlanShape", "lay_out", "version"]

MAX_ESCALATIONS: Final = 9
"""How often one loop comes before a person, who may each time but the last have it revised once more."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Tasks that run again, round after round, until their reviewer approves.

    Attributes:
        task: what is reviewed.
        reviewer: who reviews it.
        body: the tasks of one round: the reviewed one, the reviewer, and all on a way from one to the other; in order.
        rounds: reviews at the most, but for those that a person asks for.
        then: the task that rescues the loop: it runs when they are used up, or the review rejects.
    """

    task: str
    reviewer: str
    body: tuple[str, ...]
    rounds: int
    then: str | None


@dataclass(frozen=True, slots=True)
class PlanShape:
    """A plan made ready to be followed.

    Attributes:
        steps: single tasks and loops (each with its rescue), each after all that it waits for.
        positions: of each task, the position of its step.
        takers: for each step, the positions of those that take input from it.
        gates: for each step, the positions of those that must all be done before anything can change for it; empty where less does.
    """

    plan: Plan
    tasks: Mapping[str, PlannedTask]
    inputs: Mapping[str, tuple[Input, ...]]
    steps: tuple[str | Loop, ...]
    positions: Mapping[str, int]
    takers: tuple[tuple[int, ...], ...]
    gates: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, plan: Plan) -> "PlanShape":
        """Raises PlanUnusable when the plan cannot be followed."""
        try:
            inputs = {task.id: inputs_of(task) for task in plan.tasks}
            steps = lay_out(plan.tasks, inputs)
        except ValueError as error:
            raise PlanUnusable([str(error)]) from error
        except CycleFound as error:
            raise PlanUnusable([f"tasks wait for each other: {error}"]) from error
        positions = {task: position for position, step in enumerate(steps) for task in _members(step)}
        takers: list[list[int]] = [[] for _ in steps]
        gates: list[tuple[int, ...]] = []
        for position, step in enumerate(steps):
            before = {positions[source] for task in _members(step) for source in _sources(inputs[task])} - {position}
            gates.append(tuple(before) if isinstance(step, str) and _takes_whole_outputs(inputs[step]) else ())
            for source in before:
                takers[source].append(position)
        return cls(
            plan=plan,
            tasks={task.id: task for task in plan.tasks},
            inputs=inputs,
            steps=steps,
            positions=positions,
            takers=tuple(map(tuple, takers)),
            gates=tuple(gates),
        )

    def positions_of(self, task_id: str) -> tuple[int, ...]:
        """Of a task's id in the run (`draft-r2`), the positions of the steps that may have it."""
        base, _, round_ = task_id.rpartition("-r")
        names = (task_id, base) if round_.isdecimal() else (task_id,)
        return tuple(self.positions[name] for name in names if name in self.positions)


def version(task: str, round_: int) -> str:
    """The id under which `task` runs in a round of its loop: `draft`, then `draft-r2`, `draft-r3`."""
    return task if round_ == 1 else f"{task}-r{round_}"


def lay_out(tasks: Sequence[PlannedTask], inputs: Mapping[str, tuple[Input, ...]]) -> tuple[str | Loop, ...]:
    """Single tasks and loops, in the order in which they may run; a loop stands where its rescue may run.

    Who takes input from a reviewed task waits for its approval, or for the task that runs instead.

    Raises:
        CycleFound: some wait for each other.
        ValueError: a task that is named is not there, or stands in two loops.
    """
    before = {task.id: _sources(inputs[task.id]) for task in tasks}
    after: dict[str, set[str]] = {}
    for taker, sources in before.items():
        for source in sources:
            if source not in before:
                raise ValueError(f"task {taker} takes input from {source}, which is not in the plan")
            after.setdefault(source, set()).add(taker)
    order = in_order(before, before)

    loops: dict[str, Loop] = {}
    unit = {task: task for task in before}
    for task in tasks:
        if task.revision is None:
            continue
        within = reach(task.revision.task, after) & reach(task.id, before)
        loop = Loop(
            task=task.revision.task,
            reviewer=task.id,
            body=tuple(one for one in order if one in within),
            rounds=task.revision.at_most + 1,
            then=task.revision.then,
        )
        if loop.task not in within or loop.task == task.id:
            raise ValueError(f"task {task.id} revises {loop.task}, but takes no input from it")
        if loop.then is not None and (loop.then not in before or loop.then in within):
            raise ValueError(f"task {task.id} ends in {loop.then}, which is no task outside its loop")
        for member in loop.body:
            if unit[member] != member or member in loops:
                raise ValueError(f"task {member} stands in two revision loops: {unit[member]}'s and {task.id}'s")
            unit[member] = task.id
        loops[task.id] = loop

    waits: dict[str, dict[str, None]] = {unit[task]: {} for task in order}
    for taker in order:
        for source in before[taker]:
            if unit[source] == unit[taker]:
                continue
            waits[unit[taker]][unit[source]] = None
            ahead = loops.get(unit[source])
            if ahead and ahead.then and ahead.then != taker:
                waits[unit[taker]][unit[ahead.then]] = None
    rescued: dict[str, Loop] = {}
    for loop in loops.values():
        if loop.then:
            if unit[loop.then] != loop.then or loop.then in loops:
                raise ValueError(f"task {loop.then} stands in a revision loop itself")
            if loop.then in rescued:
                raise ValueError(f"tasks {rescued[loop.then].reviewer} and {loop.reviewer} both end in {loop.then!r}")
            rescued[loop.then] = loop
            waits[loop.then][loop.reviewer] = None
    steps: list[str | Loop] = []
    for one in in_order(waits, waits):
        if one in rescued:
            steps.append(rescued[one])
        elif one not in loops:
            steps.append(one)
        elif not loops[one].then:
            steps.append(loops[one])
    return tuple(steps)


def _members(step: str | Loop) -> tuple[str, ...]:
    """The tasks of a step, its rescue among them."""
    if isinstance(step, str):
        return (step,)
    return (*step.body, step.then) if step.then else step.body


def _takes_whole_outputs(inputs: tuple[Input, ...]) -> bool:
    """Whether no output can lack anything that these inputs want: a field that is missing is told at once."""
    return all(not isinstance(source, TaskOutput) or source.field is None for one in inputs for source in one.sources)


def _sources(inputs: tuple[Input, ...]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(source.task for one in inputs for source in one.sources if isinstance(source, TaskOutput))
    )
