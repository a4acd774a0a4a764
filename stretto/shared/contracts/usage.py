"""Usage: what model and tool calls took, and what they cost."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from stretto.bus.message import Value

__all__ = ["Usage", "UsageByModel", "add_by_model"]

Count = Annotated[int, Field(ge=0)]


class Usage(Value):
    """Totals. Token counts include what was cached; `cost_usd` is in US dollars."""

    model_calls: Count = 0
    tool_calls: Count = 0
    input_tokens: Count = 0
    cached_input_tokens: Count = 0
    output_tokens: Count = 0
    reasoning_tokens: Count = 0
    cost_usd: Annotated[float, Field(ge=0)] = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            model_calls=self.model_calls + other.model_calls,
            tool_calls=self.tool_calls + other.tool_calls,
            input_tokens=self.input_tokens + other.input_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
        )

    def without(self, parts: Iterable["Usage"]) -> "Usage":
        """What is left of it without these parts."""
        part = sum(parts, Usage())
        left = {name: max(0, getattr(self, name) - getattr(part, name)) for name in Usage.model_fields}
        return Usage.model_validate(left)


class UsageByModel(Value):
    """The parts of a usage by the models that took them."""

    parts: dict[str, Usage] = Field(default_factory=dict)


def add_by_model(parts: Iterable[Mapping[str, Usage]]) -> dict[str, Usage]:
    """The sum of such parts, by model; what took nothing is left out."""
    total: dict[str, Usage] = {}
    for part in parts:
        for model, usage in part.items():
            if usage != Usage():
                total[model] = total.get(model, Usage()) + usage
    return total
