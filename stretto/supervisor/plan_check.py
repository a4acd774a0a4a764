"""The rules that a plan must keep, whoever made it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stretto.shared.contracts.decision import RoleOffer
from stretto.shared.contracts.plan import PlannedTask
from stretto.supervisor.graph import CycleFound
from stretto.supervisor.roles import ESCALATION
from stretto.supervisor.shape import MAX_ESCALATIONS, Loop, lay_out, version
from stretto.supervisor.sources import Input, TaskOutput, inputs_of, parse_source

__all__ = ["PLAYBOOK_BOUNDS", "PROPOSAL_BOUNDS", "RESERVED_IDS", "PlanBounds", "Problem", "check_plan"]

RESERVED_IDS: Final = frozenset({"request", "plan", "plan-2", "plan-3"})
"""`request` is a source, the others are the planner's own tasks."""

_MAX_ID_CHARS: Final = 64
_GIVEN_TO_ALL: Final = frozenset({"request"})
_GIVEN_ON_REVISION: Final = frozenset({"notes", "previous"})


@dataclass(frozen=True, slots=True)
class PlanBounds:
    """How large a plan may be: tasks, bytes of all tasks as JSON, attempts a task; and whether it may choose the models of tasks."""

    tasks: int
    size_bytes: int
    attempts: int
    models: bool


PLAYBOOK_BOUNDS: Final = PlanBounds(tasks=2_000, size_bytes=1_048_576, attempts=20, models=True)
PROPOSAL_BOUNDS: Final = PlanBounds(tasks=40, size_bytes=65_536, attempts=5, models=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: keys and positions from the plan down, as in `("tasks", 2, "inputs", "findings")`."""

    path: tuple[str | int, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def check_plan(
    tasks: Sequence[PlannedTask], answer: str, offers: Mapping[str, RoleOffer], bounds: PlanBounds
) -> tuple[Problem, ...]:
    """All that is wrong with a plan; nothing when it can be followed with these roles (by name)."""
    if problems := tuple(_sizes(tasks, bounds)):
        return problems
    problems = (
        *_ids(tasks),
        *_roles(tasks, offers),
        *_sources(tasks),
        *_revisions(tasks),
        *_answer(tasks, answer),
    )
    if problems:
        return problems
    return (*_layout(tasks), *_unused(tasks, answer), *_fields(tasks, offers))


def _sizes(tasks: Sequence[PlannedTask], bounds: PlanBounds) -> Iterator[Problem]:
    if not tasks:
        yield Problem(("tasks",), "the plan has no tasks")
    if len(tasks) > bounds.tasks:
        yield Problem(("tasks",), f"the plan has {len(tasks)} tasks: {bounds.tasks} are allowed")
    size = sum(len(task.model_dump_json()) for task in tasks)
    if size > bounds.size_bytes:
        yield Problem(("tasks",), f"the plan has {size} bytes: {bounds.size_bytes} are allowed")
    for position, task in enumerate(tasks):
        if (task.max_attempts or 1) > bounds.attempts:
            yield Problem(
                ("tasks", position, "max_attempts"), f"task {task.id} has more than {bounds.attempts} attempts"
            )
        if task.ensemble is not None and not bounds.models:
            yield Problem(("tasks", position, "ensemble"), f"task {task.id} chooses its models: only a playbook may")


def _ids(tasks: Sequence[PlannedTask]) -> Iterator[Problem]:
    seen: set[str] = set()
    for position, task in enumerate(tasks):
        path = ("tasks", position, "id")
        if task.id in seen:
            yield Problem(path, f"two tasks have the id {task.id!r}")
        if task.id in RESERVED_IDS:
            yield Problem(path, f"the id {task.id!r} is taken by the supervisor itself: choose another")
        seen.add(task.id)


def _roles(tasks: Sequence[PlannedTask], offers: Mapping[str, RoleOffer]) -> Iterator[Problem]:
    for position, task in enumerate(tasks):
        if task.role not in offers:
            known = ", ".join(sorted(offers)) or "none"
            yield Problem(
                ("tasks", position, "role"), f"task {task.id} has the unknown role {task.role!r}: known are {known}"
            )


def _sources(tasks: Sequence[PlannedTask]) -> Iterator[Problem]:
    ids = {task.id for task in tasks}
    rescues = _rescues(tasks)
    for position, task in enumerate(tasks):
        for field, given in task.inputs.items():
            path = ("tasks", position, "inputs", field)
            if not field.isidentifier():
                yield Problem(path, f"task {task.id} has an input that is no field name: {field[:80]!r}")
            if field in task.params:
                yield Problem(path, f"task {task.id} has {field!r} both as fixed and as derived input")
            for text in (given,) if isinstance(given, str) else given:
                try:
                    source = parse_source(text)
                except ValueError as error:
                    yield Problem(path, f"task {task.id}, input {field}: {error}")
                    continue
                if not isinstance(source, TaskOutput):
                    continue
                if source.task not in ids:
                    yield Problem(path, f"task {task.id} takes input from {source.task!r}, which is not in the plan")
                elif source.task in rescues:
                    yield Problem(
                        path, f"task {task.id} takes input from {source.task!r}, which runs only without an approval"
                    )


def _revisions(tasks: Sequence[PlannedTask]) -> Iterator[Problem]:
    ids = {task.id for task in tasks}
    ends: dict[str, str] = {}
    for position, task in enumerate(tasks):
        if task.revision is None:
            continue
        path = ("tasks", position, "revision")
        if task.revision.task not in ids:
            yield Problem((*path, "task"), f"task {task.id} revises {task.revision.task!r}, which is not in the plan")
        then = task.revision.then
        if then is None:
            continue
        if then not in ids:
            yield Problem((*path, "then"), f"task {task.id} ends in {then!r}, which is not in the plan")
        elif then in ends:
            yield Problem((*path, "then"), f"tasks {ends[then]} and {task.id} both end in {then!r}: give each its own")
        ends[then] = task.id


def _answer(tasks: Sequence[PlannedTask], answer: str) -> Iterator[Problem]:
    if answer not in {task.id for task in tasks}:
        yield Problem(("answer",), f"the answer {answer[:80]!r} is no task of the plan")
    elif answer in _rescues(tasks):
        yield Problem(("answer",), f"the answer {answer!r} runs only without an approval")


def _layout(tasks: Sequence[PlannedTask]) -> Iterator[Problem]:
    inputs = _parsed(tasks)
    positions = {task.id: position for position, task in enumerate(tasks)}
    try:
        steps = lay_out(tasks, inputs)
    except CycleFound as error:
        position = min(positions[task] for task in error.path)
        yield Problem(("tasks", position), f"tasks wait for each other: {error}")
        return
    except ValueError as error:
        position = next((i for i, task in enumerate(tasks) if task.revision), 0)
        yield Problem(("tasks", position, "revision"), str(error))
        return
    roles = {task.id: task.role for task in tasks}
    for loop in (step for step in steps if isinstance(step, Loop)):
        before_person = loop.then is not None and roles[loop.then] == ESCALATION
        rounds = loop.rounds + MAX_ESCALATIONS - 1 if before_person else loop.rounds
        versions = dict.fromkeys(loop.body, max(rounds, 2))
        if loop.then and before_person:
            versions[loop.then] = MAX_ESCALATIONS
        for member, count in versions.items():
            last = version(member, count)
            if len(last) > _MAX_ID_CHARS:
                yield Problem(
                    ("tasks", positions[member], "id"),
                    f"the id {member!r} is too long to be revised: its last version would be {last!r}",
                )
            for round_ in range(2, count + 1):
                if version(member, round_) in positions:
                    yield Problem(
                        ("tasks", positions[version(member, round_)], "id"),
                        f"the id {version(member, round_)!r} is taken by a revision of {member!r}: choose another",
                    )


def _unused(tasks: Sequence[PlannedTask], answer: str) -> Iterator[Problem]:
    used = {
        source.task
        for inputs in _parsed(tasks).values()
        for one in inputs
        for source in one.sources
        if isinstance(source, TaskOutput)
    }
    used |= _rescues(tasks) | {answer}
    for position, task in enumerate(tasks):
        if task.id not in used and task.revision is None:
            yield Problem(
                ("tasks", position), f"nothing uses the output of task {task.id}: no input, no revision, not the answer"
            )


def _fields(tasks: Sequence[PlannedTask], offers: Mapping[str, RoleOffer]) -> Iterator[Problem]:
    rescues = _rescues(tasks)
    for position, task in enumerate(tasks):
        offer = offers[task.role]
        given = {*task.params, *task.inputs, *_GIVEN_TO_ALL}
        if task.id in rescues:
            given |= _GIVEN_ON_REVISION
        for field in offer.needs:
            if field not in given:
                yield Problem(("tasks", position), f"task {task.id} lacks the input {field!r} that {task.role} needs")
        if not offer.takes:
            continue
        for place, fields in (("params", task.params), ("inputs", task.inputs)):
            for field in fields:
                if field not in offer.takes and field not in _GIVEN_TO_ALL:
                    yield Problem(
                        ("tasks", position, place, field),
                        f"task {task.id} has the input {field!r}: {task.role} takes {', '.join(offer.takes)}",
                    )


def _rescues(tasks: Sequence[PlannedTask]) -> frozenset[str]:
    return frozenset(task.revision.then for task in tasks if task.revision and task.revision.then)


def _parsed(tasks: Sequence[PlannedTask]) -> dict[str, tuple[Input, ...]]:
    return {task.id: inputs_of(task) for task in tasks}
