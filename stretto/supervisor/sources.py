"""Source: where an input of a task comes from, parsed and resolved."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import JsonValue

from stretto.shared.contracts.plan import PlannedTask
from stretto.shared.contracts.request import Request
from stretto.supervisor.facts import Moment

__all__ = [
    "Done",
    "Input",
    "RequestParam",
    "RequestText",
    "Resolution",
    "TaskOutput",
    "inputs_of",
    "parse_source",
    "resolve",
]

_SOURCE = re.compile(r"(?P<task>[a-z0-9_-]{1,64})(\.(?P<field>\w{1,64}))?")
_PARAM = re.compile(r"request\.params\.(\w{1,64})")


@dataclass(frozen=True, slots=True)
class RequestText:
    """The request's text."""


@dataclass(frozen=True, slots=True)
class RequestParam:
    """One of the request's params."""

    name: str


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """The output of a task, or one field of it."""

    task: str
    field: str | None


Source = RequestText | RequestParam | TaskOutput


@dataclass(frozen=True, slots=True)
class Input:
    """One field of a task's input; `many` makes it a list of what its sources give."""

    field: str
    sources: tuple[Source, ...]
    many: bool


class Done(NamedTuple):
    """A task's output, and when it could be used."""

    output: dict[str, JsonValue]
    moment: Moment


class Resolution(NamedTuple):
    """What resolving a task's inputs came to.

    Attributes:
        values: by field, when everything is there.
        moment: when the last of it came, or when it was clear that something will never come.
        problem: what will never come.
    """

    moment: Moment
    values: dict[str, JsonValue] | None = None
    problem: str = ""


def parse_source(text: str) -> Source:
    """Parse `request`, `request.params.NAME`, `TASK` or `TASK.FIELD`.

    Raises:
        ValueError: it is none of these.
    """
    if text == "request":
        return RequestText()
    if param := _PARAM.fullmatch(text):
        return RequestParam(param[1])
    found = _SOURCE.fullmatch(text)
    if not found or found["task"] == "request":
        raise ValueError(f"{text[:80]!r} is no source: use request, request.params.NAME, TASK or TASK.FIELD")
    return TaskOutput(found["task"], found["field"])


def inputs_of(task: PlannedTask) -> tuple[Input, ...]:
    """The task's inputs, parsed.

    Raises:
        ValueError: one is no source.
    """
    return tuple(
        Input(field, (parse_source(given),), many=False)
        if isinstance(given, str)
        else Input(field, tuple(parse_source(one) for one in given), many=True)
        for field, given in task.inputs.items()
    )


def resolve(
    inputs: tuple[Input, ...], request: Request, lookup: Callable[[str], Done | None], since: Moment
) -> Resolution | None:
    """The values of `inputs`, at the earliest `since`; None while something is still to come.

    What can never come is reported as soon as that is known, whatever else is still to come; of several such the one that was known
    first.
    """
    values: dict[str, JsonValue] = {}
    moment = since
    waiting = False
    broken: Resolution | None = None
    for one in inputs:
        found: list[JsonValue] = []
        for source in one.sources:
            problem, at = "", since
            match source:
                case RequestText():
                    found.append(request.text)
                case RequestParam(name):
                    if name in request.params:
                        found.append(request.params[name])
                    else:
                        problem = f"the request has no param {name!r}"
                case TaskOutput(task, field):
                    done = lookup(task)
                    if done is None:
                        waiting = True
                        continue
                    at = max(since, done.moment)
                    moment = max(moment, at)
                    if field is None:
                        found.append(done.output)
                    elif field in done.output:
                        found.append(done.output[field])
                    else:
                        problem = f"the output of {task} has no field {field!r}"
            if problem and (broken is None or at < broken.moment):
                broken = Resolution(at, problem=f"input {one.field!r} is missing: {problem}")
        if not one.many and found:
            values[one.field] = found[0]
        elif one.many:
            values[one.field] = found
    if broken is not None:
        return broken
    return None if waiting else Resolution(moment, values)
