"""TaskState: where one task of a run stands, read off its attempts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from stretto.shared.contracts.plan import PlannedTask
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.supervisor.facts import Moment, ResultRecorded
from stretto.supervisor.sources import Done, Resolution

__all__ = ["Results", "TaskState", "follow_task"]

Results = Mapping[tuple[str, str, int], ResultRecorded]
"""The first result of each (role, task, attempt)."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task of a run.

    Attributes:
        id: its id in the run: the planned one, or one derived from it (`draft-r2`).
        planned: the task of the plan that it carries out.
        status: `waiting` for its inputs, `due`, `succeeded` or `failed`.
        moment: since when it is so; None while waiting.
        input: what the agent gets; None while waiting.
        attempts: the results of its attempts so far, in their order.
        problem: why it failed, for people.
    """

    id: str
    planned: PlannedTask
    status: Literal["waiting", "due", "succeeded", "failed"] = "waiting"
    moment: Moment | None = None
    input: dict[str, JsonValue] | None = None
    attempts: tuple[TaskResult, ...] = ()
    problem: str = ""

    @property
    def role(self) -> str:
        return self.planned.role

    @property
    def done(self) -> Done | None:
        """Its output, once it succeeded."""
        if self.status != "succeeded" or self.moment is None:
            return None
        return Done(self.attempts[-1].output or {}, self.moment)


def follow_task(
    task_id: str, planned: PlannedTask, resolved: Resolution | None, results: Results, *, until: int
) -> TaskState:
    """The task's state from those of its results that stand in the log up to sequence `until`.

    A task never ends before its inputs were there: a result that is older takes effect with them.
    """
    if resolved is None:
        return TaskState(task_id, planned)
    if resolved.values is None:
        return TaskState(
            task_id, planned, "failed", resolved.moment, problem=_cannot_start(task_id, planned, resolved.problem)
        )
    attempts: list[TaskResult] = []
    moment = resolved.moment
    for number in range(1, (planned.max_attempts or 2) + 1):
        recorded = results.get((planned.role, task_id, number))
        if recorded is None or recorded.seq > until:
            return TaskState(task_id, planned, "due", moment, resolved.values, tuple(attempts))
        attempts.append(recorded.result)
        moment = max(moment, recorded.moment)
        failure = _failure(recorded.result)
        if failure is None:
            return TaskState(task_id, planned, "succeeded", moment, resolved.values, tuple(attempts))
        if failure.kind != "retryable" or number == (planned.max_attempts or 2):
            problem = _failed(task_id, planned, failure, number)
            return TaskState(task_id, planned, "failed", moment, resolved.values, tuple(attempts), problem)
    raise AssertionError("max_attempts is at least 1")


def _failure(result: TaskResult) -> TaskFailure | None:
    if result.failure is None and result.output is None:
        return TaskFailure(kind="permanent", error="EmptyResult", message="its result has neither output nor failure")
    return result.failure


def _cannot_start(task_id: str, planned: PlannedTask, problem: str) -> str:
    return f"task {task_id} ({planned.role}) cannot start: {problem}"


def _failed(task_id: str, planned: PlannedTask, failure: TaskFailure, attempts: int) -> str:
    who = f"task {task_id} ({planned.role})"
    match failure.kind:
        case "misconfigured":
            return f"{who} cannot run until something is changed: {failure.message}"
        case "retryable" if attempts > 1:
            return f"{who} failed {attempts} times, the last time with: {failure.message}"
        case _:
            return f"{who} failed: {failure.message}"
