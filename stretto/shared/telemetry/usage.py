"""usage: what spans say that work took in all."""

from opentelemetry.util.types import AttributeValue

from stretto.bus.conventions import (
    COST_USD,
    GEN_AI_CACHE_READ_TOKENS,
    GEN_AI_INPUT_TOKENS,
    GEN_AI_OUTPUT_TOKENS,
    MODEL_CALLS,
    TOOL_CALLS,
)
from stretto.shared.contracts.usage import Usage

__all__ = ["usage_attributes"]


def usage_attributes(usage: Usage) -> dict[str, AttributeValue]:
    """The totals; what is nothing is left out."""
    found: dict[str, AttributeValue] = {
        MODEL_CALLS: usage.model_calls,
        TOOL_CALLS: usage.tool_calls,
        GEN_AI_INPUT_TOKENS: usage.input_tokens,
        GEN_AI_CACHE_READ_TOKENS: usage.cached_input_tokens,
        GEN_AI_OUTPUT_TOKENS: usage.output_tokens,
        COST_USD: usage.cost_usd,
    }
    return {name: value for name, value in found.items() if value}
