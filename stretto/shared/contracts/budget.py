"""Budget: what a run may take at most, and what happens when that is not enough."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from stretto.bus.message import Value

__all__ = ["AtEdge", "Budget", "tightest"]

AtEdge = Literal["fail", "finish", "ask"]
"""What happens when a budget is used up: the run fails, ends with what costs nothing (and says so), or a person is asked for more."""

_Count = Annotated[int, Field(ge=0)]


class Budget(Value):
    """Limits of a run; None where there is no limit.

    Attributes:
        usd: US dollars for model calls.
        tokens: of all model calls, those that are read and those that are written.
        tasks: how many tasks, attempts and rounds of revision not counted.
        seconds: from acceptance to the answer.
        at_edge: see `AtEdge`; `seconds` and `tasks` always fail. None: as others say (see `tightest`), and `fail` where nobody does.
    """

    usd: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    tokens: _Count | None = None
    model_calls: _Count | None = None
    tool_calls: _Count | None = None
    tasks: _Count | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None
    at_edge: AtEdge | None = None


def tightest(budgets: Iterable[Budget | None]) -> Budget | None:
    """The budget that keeps all of these: of each limit the smallest, and of `at_edge` what is said first. None if none says anything."""
    given = [budget for budget in budgets if budget is not None]
    said: dict[str, Any] = {}
    for name in Budget.model_fields:
        values = [value for budget in given if (value := getattr(budget, name)) is not None]
        if values:
            said[name] = values[0] if name == "at_edge" else min(values)
    return Budget(**said) if said else None
