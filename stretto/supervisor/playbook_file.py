"""Playbook: a plan written down in a YAML file, checked in every part before it is used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from stretto.bus.subjects import Token
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.decision import RoleOffer
from stretto.shared.contracts.ensemble import Ensemble
from stretto.shared.contracts.plan import Plan, PlannedTask, Revision
from stretto.supervisor.errors import PlaybookError
from stretto.supervisor.plan_check import PLAYBOOK_BOUNDS, check_plan
from stretto.supervisor.roles import BUILT_IN_ROLES, PLANNER
from stretto.supervisor.yaml_lines import YamlUnreadable, read_yaml

__all__ = ["Playbook", "read_playbook"]


class _Revision(Revision):
    model_config = ConfigDict(extra="forbid")


class _Ensemble(Ensemble):
    model_config = ConfigDict(extra="forbid")


class _Task(PlannedTask):
    model_config = ConfigDict(extra="forbid")

    params: dict[str, JsonValue] = Field(default_factory=dict, alias="with")
    ensemble: _Ensemble | None = None  # pyright: ignore[reportIncompatibleVariableOverride]  # as below
    revision: _Revision | None = None  # pyright: ignore[reportIncompatibleVariableOverride]  # frozen: never assigned

    def planned(self) -> PlannedTask:
        return PlannedTask.model_validate(self.model_dump(by_alias=False))


class _Budget(Budget):
    model_config = ConfigDict(extra="forbid")


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Token
    description: Annotated[str, Field(min_length=1)]
    roles: dict[Token, str] = Field(default_factory=dict)
    tasks: Annotated[tuple[_Task, ...], Field(min_length=1)]
    answer: Token
    budget: _Budget | None = None


@dataclass(frozen=True, slots=True)
class Playbook:
    """A plan that is written down.

    Attributes:
        description: what it is for; the router compares requests with it.
        roles: every role that its tasks name.
        budget: what each of its runs may take; where the deployment or the request allows less, that holds.
    """

    name: str
    description: str
    file: Path
    tasks: tuple[PlannedTask, ...]
    answer: str
    budget: Budget | None = None

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(task.role for task in self.tasks)

    def plan(self, reason: str = "") -> Plan:
        """The plan of one run; `reason` says why this playbook was chosen."""
        return Plan(playbook=self.name, reason=reason, tasks=self.tasks, answer=self.answer)


def read_playbook(file: Path) -> Playbook:
    """Read and check one playbook.

    Raises:
        PlaybookError: it cannot be read or followed; names the file and the first line that is wrong.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlaybookError(file, 1, f"cannot be read: {error}") from error
    try:
        lined = read_yaml(text)
    except YamlUnreadable as error:
        raise PlaybookError(file, error.line, error.problem) from error
    try:
        content = _File.model_validate(lined.data)
    except ValidationError as error:
        found = [(lined.line_of(one["loc"]), _told(one)) for one in error.errors()]
        raise PlaybookError(file, *min(found, key=lambda one: one[0])) from error
    if content.name == PLANNER:
        raise PlaybookError(
            file, lined.line_of(("name",)), f"the name {PLANNER!r} asks for the planner: choose another"
        )
    offers = {offer.role: offer for offer in BUILT_IN_ROLES}
    offers |= {role: RoleOffer(role=role, description=text) for role, text in content.roles.items()}
    tasks = tuple(task.planned() for task in content.tasks)
    problems = check_plan(tasks, content.answer, offers, PLAYBOOK_BOUNDS)
    if problems:
        found = [(lined.line_of(_in_file(problem.path)), problem.text) for problem in problems]
        raise PlaybookError(file, *min(found, key=lambda one: one[0]))
    budget = Budget.model_validate(content.budget.model_dump()) if content.budget else None
    return Playbook(content.name, " ".join(content.description.split()), file, tasks, content.answer, budget)


def _in_file(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return tuple("with" if step == "params" else step for step in path)


def _told(error: Any) -> str:
    where = ".".join(str(step) for step in error["loc"])
    match error["type"]:
        case "extra_forbidden":
            return f"unknown field: {where}"
        case "missing":
            return f"missing field: {where}"
        case "string_pattern_mismatch":
            return f"{where}: use 1 to 64 of a-z, 0-9, _ and -"
        case "model_type" | "model_attributes_type":
            return (
                f"{where}: name, description, tasks and answer are needed" if not where else f"{where}: not a mapping"
            )
        case _:
            return f"{where}: {error['msg']}"
