"""Unfolding: what one step of a plan has come to: a single task, or a loop with its rounds, its rescue and what people decided there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple, assert_never

from pydantic import JsonValue, ValidationError

from stretto.shared.contracts.answer import RunEnd
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.review import Review, ReviewNote
from stretto.supervisor.facts import Moment
from stretto.supervisor.reasons import not_approved, refused
from stretto.supervisor.records import Records
from stretto.supervisor.retries import Retries
from stretto.supervisor.roles import ESCALATION
from stretto.supervisor.shape import MAX_ESCALATIONS, Loop, PlanShape, version
from stretto.supervisor.sources import Done, Resolution, resolve
from stretto.supervisor.task_state import TaskState, follow_task

__all__ = ["End", "Ground", "Unfolded", "unfold"]

_Lookup = Callable[[str], Done | None]
_NOTHING: Final[Mapping[str, JsonValue]] = {}
_NOTHING_DONE: Final[Mapping[str, Done]] = {}


@dataclass(frozen=True, slots=True)
class End:
    """What ends a run.

    Attributes:
        overdue: it ran into its deadline; `reason` then says what it waited for.
        retry_in_s: the request was turned away because too much was to be done; it may be sent again then.
    """

    state: RunEnd
    reason: str = ""
    overdue: bool = False
    retry_in_s: float | None = None


class Ground(NamedTuple):
    """What a plan unfolds from: its shape, since when it holds, the request, and what is recorded of its tasks."""

    shape: PlanShape
    since: Moment
    request: Request
    records: Records
    retries: Retries


class Unfolded(NamedTuple):
    """What a step has come to.

    Attributes:
        tasks: its tasks with their later versions, each after those it takes input from.
        done: by task of the plan, the output that the tasks after it (and the answer) get: of a reviewed task, the approved one. Empty
            until the step is done, then of all its tasks but the rescue.
        review: the last review.
        escalation: the last one.
        end: why the run cannot go on, if the step says so.
    """

    tasks: tuple[TaskState, ...] = ()
    done: Mapping[str, Done] = _NOTHING_DONE
    review: Review | None = None
    escalation: Escalation | None = None
    end: End | None = None

    @property
    def in_progress(self) -> tuple[TaskState, ...]:
        return tuple(task for task in self.tasks if task.in_progress)


def unfold(step: str | Loop, ground: Ground, lookup: _Lookup) -> Unfolded:
    """What the step has come to; `lookup` gives what the steps before it have done."""
    unfolding = _Unfolding(ground, lookup)
    done = unfolding.single(step) if isinstance(step, str) else unfolding.loop(step)
    return Unfolded(tuple(unfolding.tasks), done, unfolding.review, unfolding.escalation, unfolding.end)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a person wants changed, as a review; and since when."""

    notes: dict[str, JsonValue]
    moment: Moment


class _Unfolding:
    """One walk through a step."""

    def __init__(self, ground: Ground, lookup: _Lookup) -> None:
        self._ground = ground
        self._outside = lookup
        self.tasks: list[TaskState] = []
        self.review: Review | None = None
        self.escalation: Escalation | None = None
        self.end: End | None = None

    def single(self, task_id: str) -> dict[str, Done]:
        done = self._task(task_id, 1, self._outside, self._ground.since)
        return {} if done is None else {task_id: done}

    def loop(self, loop: Loop) -> dict[str, Done]:
        done = self._rounds(loop)
        if loop.then and all(task.planned.id != loop.then for task in self.tasks):
            self.tasks.append(TaskState(loop.then, self._ground.shape.tasks[loop.then]))
        return done

    def _rounds(self, loop: Loop) -> dict[str, Done]:
        """One round after another; when they are used up, the rescue, and each further round that a person asks for there."""
        since = self._ground.since
        revision: Mapping[str, JsonValue] = _NOTHING
        rescues = 0
        for round_ in count(1):
            last = self._round(loop, round_, since, revision)
            if loop.reviewer not in last:
                break
            review, since = last[loop.reviewer].output, last[loop.reviewer].moment
            verdict = self._verdict(loop, version(loop.reviewer, round_), review)
            if verdict is None:
                break
            if verdict.verdict == "approve":
                return _settled(last, since)
            revision = {"previous": last[loop.task].output, "notes": review}
            if verdict.verdict == "revise" and round_ < loop.rounds and not rescues:
                continue
            if loop.then is None:
                self._fail(not_approved(loop, verdict))
                break
            rescues += 1
            rescued = self._rescue(loop, loop.then, rescues, last, revision)
            if isinstance(rescued, Done):
                return _settled({**last, loop.task: rescued}, rescued.moment)
            if rescued is None:
                break
            since = rescued.moment
            revision = {**revision, "notes": rescued.notes}
        return {}

    def _round(self, loop: Loop, round_: int, since: Moment, revision: Mapping[str, JsonValue]) -> dict[str, Done]:
        done: dict[str, Done] = {}

        def lookup(task: str) -> Done | None:
            return done.get(task) if task in loop.body else self._outside(task)

        for member in loop.body:
            one = self._task(member, round_, lookup, since, revision if member == loop.task else _NOTHING)
            if one is not None:
                done[member] = one
        return done

    def _rescue(
        self, loop: Loop, then: str, nth: int, last: Mapping[str, Done], revision: Mapping[str, JsonValue]
    ) -> Done | _Wish | None:
        """What stands in the place of the last output, or what a person wants changed in it; None while there is neither."""

        def lookup(task: str) -> Done | None:
            return last.get(task) or self._outside(task)

        task = self._follow(then, nth, lookup, last[loop.reviewer].moment, revision)
        done = task.done
        if done is None or task.role != ESCALATION:
            return done
        ruling = self._ruling(task, done)
        if ruling is None:
            return None
        if ruling.decision == "revise" and nth < MAX_ESCALATIONS:
            return _Wish(_as_review(ruling), done.moment)
        return self._carried_out(ruling, done.moment, last[loop.task].output, {"text": ruling.words})

    def _task(
        self, planned_id: str, round_: int, lookup: _Lookup, since: Moment, extra: Mapping[str, JsonValue] = _NOTHING
    ) -> Done | None:
        """What a task gives to those after it. Of an escalation that rescues nothing it is what the person decided on."""
        task = self._follow(planned_id, round_, lookup, since, extra)
        done = task.done
        if done is None or task.role != ESCALATION:
            return done
        ruling = self._ruling(task, done)
        if ruling is None:
            return None
        previous = (task.input or {}).get("previous")
        accepted = previous if isinstance(previous, dict) else done.output
        return self._carried_out(ruling, done.moment, accepted, {**done.output, "text": ruling.words})

    def _follow(
        self, planned_id: str, round_: int, lookup: _Lookup, since: Moment, extra: Mapping[str, JsonValue]
    ) -> TaskState:
        ground = self._ground
        planned = ground.shape.tasks[planned_id]
        resolved = resolve(ground.shape.inputs[planned_id], ground.request, lookup, since)
        if resolved is not None and resolved.values is not None:
            values = {"request": ground.request.text, **planned.params, **resolved.values, **extra}
            resolved = Resolution(resolved.moment, values)
        task = follow_task(version(planned_id, round_), planned, resolved, ground.records, ground.retries)
        self.tasks.append(task)
        if task.status == "failed":
            self._fail(task.problem)
        return task

    def _verdict(self, loop: Loop, reviewer: str, output: dict[str, JsonValue]) -> Review | None:
        try:
            self.review = Review.model_validate(output)
        except ValidationError:
            role = self._ground.shape.tasks[loop.reviewer].role
            self._fail(f"task {reviewer} ({role}) reviews {loop.task}, but its output is no review")
            return None
        return self.review

    def _ruling(self, task: TaskState, done: Done) -> Escalation | None:
        try:
            self.escalation = Escalation.model_validate(done.output)
        except ValidationError:
            self._fail(f"task {task.id} ({task.role}): its output is no escalation")
            return None
        return self.escalation

    def _carried_out(
        self, ruling: Escalation, moment: Moment, accepted: dict[str, JsonValue], replaced: dict[str, JsonValue]
    ) -> Done | None:
        match ruling.decision:
            case "accept":
                return Done(accepted, moment)
            case "replace":
                return Done(replaced, moment)
            case "revise" | "refuse" | "open":
                self._fail(refused(ruling))
                return None
            case _:
                assert_never(ruling.decision)

    def _fail(self, reason: str) -> None:
        self.end = self.end or End("failed", reason)


def _settled(outputs: Mapping[str, Done], moment: Moment) -> dict[str, Done]:
    return {task: Done(done.output, max(moment, done.moment)) for task, done in outputs.items()}


def _as_review(ruling: Escalation) -> dict[str, JsonValue]:
    """What a person wants changed, as a reviewing task would say it."""
    note = ReviewNote(rule="completeness", problem=ruling.words)
    return Review(verdict="revise", reasons=ruling.words, notes=(note,), confidence=1.0).model_dump(mode="json")
