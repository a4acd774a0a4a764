"""Plan: a directed acyclic graph of tasks. It is data, never code."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from stretto.bus.message import Value
from stretto.bus.subjects import Token
from stretto.shared.contracts.ensemble import Ensemble

__all__ = ["Plan", "PlannedTask", "Revision", "Source"]

Source = str
"""Where an input comes from: `request` (the request's text), `request.params.NAME`, a task's id (its whole output), or
`TASK.FIELD` (one field of its output)."""


class Revision(Value):
    """What follows when a task's output is a `Review` that asks for changes.

    `task` runs again with the notes and its own previous output as the inputs `notes` and `previous`, then the reviewing task runs again;
    after `at_most` such rounds the task `then` runs instead, with the last output and review.
    """

    task: Token
    at_most: Annotated[int, Field(ge=0, le=9)] = 2
    then: Token | None = None


class PlannedTask(Value):
    """One unit of work for one role.

    Attributes:
        id: its name in the plan.
        role: who does it.
        params: fixed input, by field name of the agent's input model.
        inputs: input from the request or earlier tasks, by field name; several sources make a list in their order.
        max_attempts: attempts in all, where the plan wants others than the role's retry policy says.
        time_limit_s: seconds one attempt may take; without one the run's deadline holds.
        revision: set on a reviewing task.
        ensemble: several models are asked for each of its replies.
    """

    id: Token
    role: Token
    params: dict[str, JsonValue] = Field(default_factory=dict)
    inputs: dict[str, Source | tuple[Source, ...]] = Field(default_factory=dict)
    max_attempts: Annotated[int, Field(ge=1, le=20)] | None = None
    time_limit_s: Annotated[float, Field(gt=0)] | None = None
    revision: Revision | None = None
    ensemble: Ensemble | None = None


class Plan(Value):
    """The tasks of one run.

    Attributes:
        playbook: the name of the playbook it came from, or `planner`.
        origin: who made it: a playbook, the planner agent, or the default playbook because the planner's proposals were unusable.
        reason: why this plan, for people.
        tasks: in the order in which they are shown; each task comes after those it takes input from.
        answer: the task whose output becomes the answer.
    """

    playbook: Token
    origin: Literal["playbook", "planner", "fallback"] = "playbook"
    reason: str = ""
    tasks: Annotated[tuple[PlannedTask, ...], Field(min_length=1, max_length=2_000)]
    answer: Token
