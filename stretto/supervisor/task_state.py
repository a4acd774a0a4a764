"""TaskState: where one task of a run stands, read off its attempts."""

from datetime import timedelta
from typing import Literal, NamedTuple

from pydantic import JsonValue

from stretto.shared.contracts.ensemble import Ensemble
from stretto.shared.contracts.plan import PlannedTask
from stretto.shared.contracts.question import Settled
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.supervisor.facts import Moment
from stretto.supervisor.questions import Inquiry
from stretto.supervisor.reasons import cannot_start, failed, unanswered
from stretto.supervisor.records import Records
from stretto.supervisor.retries import Retries
from stretto.supervisor.sources import Done, Resolution
from stretto.supervisor.timers import TimerOrder, retry_name

__all__ = ["DueTask", "TaskState", "follow_task"]


class DueTask(NamedTuple):
    """A task whose inputs are there and which has no result for this attempt.

    Attributes:
        time_limit_s: how long the attempt may take once an agent has it; None for no limit of its own.
        settled: the questions that the attempt asked so far, all settled, in their order.
        ensemble: as planned.
    """

    task: str
    role: str
    attempt: int
    input: dict[str, JsonValue]
    time_limit_s: float | None = None
    settled: tuple[Settled, ...] = ()
    ensemble: Ensemble | None = None


class TaskState(NamedTuple):
    """One task of a run.

    Attributes:
        id: its id in the run: the planned one, or one derived from it (`draft-r2`).
        planned: the task of the plan that it carries out.
        status: `waiting` for its inputs, `due`, `delayed` until it may be tried again, `parked` until people have decided,
            `succeeded` or `failed`.
        moment: since when it is so; None while waiting.
        input: what the agent gets; None while waiting.
        attempts: the results of its attempts so far, in their order.
        due: what to queue, while it is due.
        open: the questions that the attempt in hand has asked and nobody has settled, in the order of its steps.
        retry: the timer that a delayed task waits for.
        problem: why it failed, for people.
    """

    id: str
    planned: PlannedTask
    status: Literal["waiting", "due", "delayed", "parked", "succeeded", "failed"] = "waiting"
    moment: Moment | None = None
    input: dict[str, JsonValue] | None = None
    attempts: tuple[TaskResult, ...] = ()
    due: DueTask | None = None
    open: tuple[Inquiry, ...] = ()
    retry: TimerOrder | None = None
    problem: str = ""

    @property
    def role(self) -> str:
        return self.planned.role

    @property
    def attempt(self) -> int:
        """The attempt in hand, or the next one."""
        return len(self.attempts) + 1

    @property
    def in_progress(self) -> bool:
        return self.status in ("due", "delayed", "parked")

    @property
    def timers(self) -> tuple[TimerOrder, ...]:
        """What it waits for by the clock."""
        return (self.retry,) if self.retry else tuple(one.timer for one in self.open)

    @property
    def done(self) -> Done | None:
        """Its output, once it succeeded."""
        if self.status != "succeeded" or self.moment is None:
            return None
        return Done(self.attempts[-1].output or {}, self.moment)


def follow_task(
    task_id: str, planned: PlannedTask, resolved: Resolution | None, records: Records, retries: Retries
) -> TaskState:
    """The task's state from what is recorded of it.

    A task never ends before its inputs were there: a result that is older takes effect with them.
    """
    if resolved is None:
        return TaskState(task_id, planned)
    if resolved.values is None:
        return TaskState(
            task_id, planned, "failed", resolved.moment, problem=cannot_start(task_id, planned, resolved.problem)
        )
    attempts: list[TaskResult] = []
    moment = resolved.moment
    while True:
        key = (planned.role, task_id, len(attempts) + 1)
        inquiries = records.inquiries.get(key, ())
        recorded = records.results.get(key)
        if recorded is None:
            return _in_hand(task_id, planned, moment, resolved.values, tuple(attempts), inquiries)
        attempts.append(recorded.result)
        moment = max(moment, recorded.moment)
        failure = _failure(recorded.result)
        if failure is None:
            return TaskState(task_id, planned, "succeeded", moment, resolved.values, tuple(attempts))
        delay_s = retries.next_delay_s(task_id, planned, failure, len(attempts))
        if delay_s is None:
            problem = unanswered(task_id, planned, inquiries) if failure.error == "QuestionExpired" else ""
            problem = problem or failed(task_id, planned, failure, len(attempts))
            return TaskState(task_id, planned, "failed", moment, resolved.values, tuple(attempts), problem=problem)
        if delay_s > 0:
            timer = TimerOrder(retry_name(task_id, len(attempts) + 1), recorded.at + timedelta(seconds=delay_s))
            fired = records.timers.get(timer.name)
            if fired is None:
                return TaskState(task_id, planned, "delayed", moment, resolved.values, tuple(attempts), retry=timer)
            moment = max(moment, fired)


def _in_hand(
    task_id: str,
    planned: PlannedTask,
    moment: Moment,
    given: dict[str, JsonValue],
    attempts: tuple[TaskResult, ...],
    inquiries: tuple[Inquiry, ...],
) -> TaskState:
    """The task with an attempt that has no result: parked while anything that it asked is open, else due."""
    settled: tuple[Settled, ...] = ()
    if inquiries:
        moment = max(moment, *(one.since for one in inquiries))
        still_open = tuple(one for one in inquiries if one.settled is None)
        if still_open:
            return TaskState(task_id, planned, "parked", moment, given, attempts, open=still_open)
        settled = tuple(one.settled for one in inquiries if one.settled is not None)
    due = DueTask(task_id, planned.role, len(attempts) + 1, given, planned.time_limit_s, settled, planned.ensemble)
    return TaskState(task_id, planned, "due", moment, given, attempts, due)


def _failure(result: TaskResult) -> TaskFailure | None:
    if result.failure is None and result.output is None:
        return TaskFailure(kind="permanent", error="EmptyResult", message="its result has neither output nor failure")
    return result.failure
