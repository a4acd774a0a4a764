"""Expansion: the tasks of a run as far as its plan has unfolded, revisions included."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import JsonValue, ValidationError

from stretto.shared.contracts.answer import RunEnd
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.review import Review
from stretto.supervisor.facts import Moment
from stretto.supervisor.planning import Course
from stretto.supervisor.roles import ESCALATION
from stretto.supervisor.shape import Loop, PlanShape, version
from stretto.supervisor.sources import Done, Resolution, resolve
from stretto.supervisor.task_state import Results, TaskState, follow_task

__all__ = ["End", "Expansion", "expand"]


@dataclass(frozen=True, slots=True)
class End:
    """One cause that ends a run, and when it came to be."""

    moment: Moment
    state: RunEnd
    reason: str = ""
    escalation: Escalation | None = None


@dataclass(slots=True)
class Expansion:
    """A plan as far as it has unfolded.

    Attributes:
        tasks: the planner's, then the plan's with their later versions, each after those it takes input from.
        done: for each task of the plan, the output that the tasks after it (and the answer) get: of a reviewed task, the approved one.
        reviews: the last review by reviewing task of the plan.
        ends: every cause there is for the run to end, in the order of `tasks`.
    """

    tasks: list[TaskState] = field(default_factory=list[TaskState])
    done: dict[str, Done] = field(default_factory=dict[str, Done])
    reviews: dict[str, Review] = field(default_factory=dict[str, Review])
    ends: list[End] = field(default_factory=list[End])


@dataclass(frozen=True, slots=True)
class _Handover:
    """What a loop that ended without approval hands to the task that runs instead."""

    loop: Loop
    last: dict[str, Done]
    review: Done


def expand(course: Course, request: Request, results: Results, *, until: int) -> Expansion:
    """Unfold the course with the results up to sequence `until` of the log."""
    expansion = Expansion(tasks=list(course.planning))
    if course.problem:
        expansion.ends.append(End(course.since, "failed", course.problem))
    if course.shape is not None:
        _Unfolding(course.shape, course.since, request, results, until, expansion).run()
    return expansion


class _Unfolding:
    """One walk through a plan, each step after all that it waits for."""

    def __init__(
        self, shape: PlanShape, since: Moment, request: Request, results: Results, until: int, into: Expansion
    ) -> None:
        self._shape = shape
        self._since = since
        self._request = request
        self._results = results
        self._until = until
        self._into = into
        self._handovers: dict[str, _Handover] = {}

    def run(self) -> None:
        into = self._into
        for step in self._shape.steps:
            if isinstance(step, Loop):
                self._loop(step)
            elif step in self._shape.rescues:
                self._rescue(step)
            else:
                done = self._task(step, 1, into.done.get, self._since).done
                if done is not None:
                    into.done[step] = done
        if len(into.done) == len(self._shape.tasks) - len(self._shape.rescues):
            into.ends.append(End(max(done.moment for done in into.done.values()), "completed"))

    def _loop(self, loop: Loop) -> None:
        into = self._into
        last: dict[str, Done] = {}
        review: Done | None = None
        for round_ in range(1, loop.rounds + 1):
            this: dict[str, Done] = {}

            def lookup(task: str, this: dict[str, Done] = this) -> Done | None:
                return this.get(task) if task in loop.body else into.done.get(task)

            for member in loop.body:
                extra = _revision_inputs(last[member], review) if member == loop.task and review else {}
                task = self._task(member, round_, lookup, review.moment if review else self._since, extra)
                if task.done is not None:
                    this[member] = task.done
            review = this.get(loop.reviewer)
            if review is None:
                return
            try:
                verdict = into.reviews[loop.reviewer] = Review.model_validate(review.output)
            except ValidationError:
                who = f"task {version(loop.reviewer, round_)} ({self._shape.tasks[loop.reviewer].role})"
                self._fail(review.moment, f"{who} reviews {loop.task}, but its output is no review")
                return
            if verdict.verdict == "approve":
                self._settle(this, review.moment)
                return
            last = this
            if verdict.verdict == "reject":
                break
        if review is None:
            return
        if loop.then is not None:
            self._handovers[loop.then] = _Handover(loop, last, review)
        else:
            self._fail(review.moment, _not_approved(loop, into.reviews[loop.reviewer]))

    def _rescue(self, task_id: str) -> None:
        handover = self._handovers.get(task_id)
        if handover is None:
            self._into.tasks.append(TaskState(task_id, self._shape.tasks[task_id]))
            return

        def lookup(task: str) -> Done | None:
            return handover.last.get(task) or self._into.done.get(task)

        reviewed = handover.last[handover.loop.task]
        extra = _revision_inputs(reviewed, handover.review)
        task = self._task(task_id, 1, lookup, handover.review.moment, extra)
        if task.done is not None and task.role != ESCALATION:
            self._settle({**handover.last, handover.loop.task: task.done}, task.done.moment)

    def _task(
        self,
        planned_id: str,
        round_: int,
        lookup: Callable[[str], Done | None],
        since: Moment,
        extra: dict[str, JsonValue] | None = None,
    ) -> TaskState:
        planned = self._shape.tasks[planned_id]
        resolved = resolve(self._shape.inputs[planned_id], self._request, lookup, since)
        if resolved is not None and resolved.values is not None:
            values = {"request": self._request.text, **planned.params, **resolved.values, **(extra or {})}
            resolved = Resolution(resolved.moment, values)
        task = follow_task(version(planned_id, round_), planned, resolved, self._results, until=self._until)
        self._into.tasks.append(task)
        if task.moment is not None and task.status == "failed":
            self._fail(task.moment, task.problem)
        if planned.role == ESCALATION and task.done is not None:
            self._escalate(task, task.done)
        return task

    def _escalate(self, task: TaskState, done: Done) -> None:
        try:
            escalation = Escalation.model_validate(done.output)
        except ValidationError:
            self._fail(done.moment, f"task {task.id} ({task.role}): its output is no escalation")
        else:
            self._into.ends.append(End(done.moment, "failed", escalation.question, escalation))

    def _settle(self, outputs: dict[str, Done], moment: Moment) -> None:
        self._into.done |= {task: Done(done.output, max(moment, done.moment)) for task, done in outputs.items()}

    def _fail(self, moment: Moment, reason: str) -> None:
        self._into.ends.append(End(moment, "failed", reason))


def _revision_inputs(reviewed: Done, review: Done) -> dict[str, JsonValue]:
    return {"previous": reviewed.output, "notes": review.output}


def _not_approved(loop: Loop, review: Review) -> str:
    reasons = review.reasons or "; ".join(note.problem for note in review.notes) or "no reasons given"
    if review.verdict == "reject":
        return f"{loop.reviewer} rejected {loop.task}: {reasons}"
    return f"{loop.reviewer} did not approve {loop.task} after {loop.rounds - 1} revisions: {reasons}"
