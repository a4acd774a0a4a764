"""Edge: what happens in an attempt when a budget is used up: it fails, finishes with what costs nothing, or a person is asked for more."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from pydantic import JsonValue

from stretto.agents.human_answer import HumanAnswer
from stretto.bus.step import Step, StepKind
from stretto.shared.contracts.account import UNITS, Unit
from stretto.shared.contracts.budget import AtEdge
from stretto.shared.money.errors import BudgetSpent
from stretto.shared.money.wording import amount_text
from stretto.shared.tools.errors import ToolForbidden

__all__ = ["Edge", "EffectsAtEdge", "RaiseLimit", "raise_told"]

_RAISE: Final = "budget.raise"
"""The step that adds to the run's budget what a person has approved."""


class RaiseLimit(Protocol):
    """Adds to the limits of the run's budget."""

    async def __call__(self, unit: Unit, by: int, *, reason: str) -> None:
        """Add to it, once for each `reason`."""
        ...


class EffectsAtEdge(Protocol):
    """What the edge needs of the attempt's effects: to ask, and to do something once."""

    async def ask(self, question: dict[str, JsonValue]) -> HumanAnswer: ...

    async def perform(
        self,
        kind: StepKind,
        name: str,
        value: JsonValue,
        call: Callable[[str], Awaitable[JsonValue]],
        parse: Callable[[JsonValue], JsonValue],
    ) -> JsonValue: ...


class Edge:
    """The policy of one attempt.

    It is asked when an effect has failed for a budget, from the record or just now: that failure is a step. What it does then are steps
    too, so a handler that is run again comes to the same place by the same way.

    Args:
        raise_limit: see `RaiseLimit`.
        can_finish: whether there is a model that costs nothing; without one `finish` fails.

    Attributes:
        spent: the budget that is used up, once what costs nothing must do.
    """

    def __init__(self, policy: AtEdge, *, raise_limit: RaiseLimit, can_finish: bool = True) -> None:
        self._policy: AtEdge = policy
        self._raise_limit = raise_limit
        self._can_finish = can_finish
        self.spent: BudgetSpent | None = None

    async def passed(self, effects: EffectsAtEdge, kind: StepKind, error: BudgetSpent) -> bool:
        """Whether the effect may be tried again.

        Raises:
            ToolForbidden: it was a call of a tool, and the attempt is to finish without.
            BudgetSpent: a person was asked for more, and says no.
            QuestionExpired: nobody decided in time.
        """
        match self._policy:
            case "fail":
                return False
            case "finish":
                if not self._can_finish:
                    return False
                self.spent = self.spent or error
                if kind == "tool":  # nothing stands in for it: who asked for it is told, and goes on without
                    raise ToolForbidden(str(error)) from error
                return True
            case "ask":
                # A tenant's budget is not for those who decide about a run.
                unit: Unit | None = next((one for one in UNITS if one == error.unit and error.account == "run"), None)
                if unit is not None:
                    await self._ask(effects, error, unit)
                return unit is not None

    async def _ask(self, effects: EffectsAtEdge, error: BudgetSpent, unit: Unit) -> None:
        """Ask a person for as much again as the budget was, or for what the call needs where that is more."""
        by = max(error.limit, error.spent + error.needed - error.limit, 1)
        more = amount_text(unit, by)
        question: dict[str, JsonValue] = {
            "kind": "approval",
            "text": f"The run has spent {amount_text(unit, error.spent)} of {amount_text(unit, error.limit)}; approve {more} more?",
            "summary": f"{error}. Approve, and the run goes on; reject, and it fails.",
        }
        answer = await effects.ask(question)
        if not answer.approved:
            why = f": {answer.text}" if answer.text.strip() else ""
            raise BudgetSpent(
                f"{error}; {answer.principal} does not approve {more} more{why}", account="run", unit=unit
            )
        value: dict[str, JsonValue] = {"unit": unit, "by": by, "limit": error.limit, "approved_by": answer.principal}

        async def call(key: str) -> JsonValue:
            await self._raise_limit(unit, by, reason=key)
            return value

        await effects.perform("step", _RAISE, value, call, lambda output: output)


def raise_told(step: Step) -> str:
    """What people should know of a step that added to the run's budget; empty for any other."""
    match step.output:
        case {"unit": str(unit), "by": int(by), "approved_by": str(who)} if step.kind == "step" and step.name == _RAISE:
            return f"{who} approved {amount_text(unit, by)} more than the run's budget."
        case _:
            return ""
