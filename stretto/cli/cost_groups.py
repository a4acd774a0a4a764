"""Group: what was spent under one name, such as a day or a model."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from stretto.shared.contracts.usage import Usage
from stretto.shared.costs import Spending

__all__ = ["By", "Group", "ordered"]

By = Literal["tenant", "day", "role", "model", "playbook"]


@dataclass(slots=True)
class Group:
    """What was spent under one name.

    Attributes:
        runs: whose it is.
        unknown: the models whose part of the cost nobody knew.
    """

    name: str
    runs: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    usage: Usage = Usage()  # noqa: RUF009 (it is frozen)
    unknown: set[str] = field(default_factory=set[str])

    def add(self, spending: Spending, *, known: bool) -> None:
        self.runs.add((spending.tenant, spending.run))
        self.usage += spending.usage
        if not known:
            self.unknown.add(spending.model)

    @property
    def data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "runs": len(self.runs),
            **self.usage.model_dump(),
            "unknown_prices": sorted(self.unknown),
        }


def ordered(by: By, groups: Iterable[Group]) -> list[Group]:
    """Days in their order, else the dearest first."""
    if by == "day":
        return sorted(groups, key=lambda one: one.name)
    return sorted(groups, key=lambda one: (-one.usage.cost_usd, -len(one.unknown), one.name))
