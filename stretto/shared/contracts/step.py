"""What the steps of a model and of tools hold, and what steps took."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, JsonValue, ValidationError

from stretto.bus.effect_failure import EffectFailure
from stretto.bus.message import Value
from stretto.bus.step import Step
from stretto.shared.contracts.usage import Usage, UsageByModel, add_by_model
from stretto.shared.models.protocol import Hop, ToolCall
from stretto.shared.money.errors import BudgetSpent

__all__ = ["ModelOutcome", "by_model_of", "hops_of", "models_of", "usage_of"]


class ModelOutcome(Value):
    """The output of a step of kind `model`: a model's reply.

    Attributes:
        output: the reply, as data of the type that was asked for; None when it asked for tools.
        model: who gave it.
        calls: the tools that it asked for, and `text` what it said with that.
        prompt: name and digest of the template of its instructions; empty where they are of the agent's own making.
        left_out: what did not fit into its budget of tokens, in words.
    """

    output: dict[str, JsonValue] | None
    model: str
    usage: Usage = Usage()
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    request_id: str | None = None
    hops: tuple[Hop, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    text: str = ""
    prompt: str = ""
    left_out: tuple[str, ...] = ()


def usage_of(steps: Iterable[Step]) -> Usage:
    """What these steps took in all."""
    total = Usage()
    for step in steps:
        if step.kind == "tool" and _was_called(step):
            total += Usage(tool_calls=1)
        outcome = _outcome(step)
        if outcome is not None:
            total += outcome.usage
        elif step.kind == "model" and step.failure is not None:
            total += _spent_in_vain(step.failure)
    return total


def by_model_of(steps: Iterable[Step]) -> dict[str, Usage]:
    """What each model took in these steps: those that answered, those that were passed over, and those that failed."""
    parts: list[dict[str, Usage]] = []
    for step in steps:
        outcome = _outcome(step)
        if outcome is not None:
            passed_over = add_by_model({hop.model: hop.usage} for hop in outcome.hops)
            parts += [passed_over, {outcome.model: outcome.usage.without(passed_over.values())}]
        elif step.kind == "model" and step.failure is not None:
            parts.append(_spent_in_vain_by_model(step.failure))
    return add_by_model(parts)


def models_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """The models that these steps asked, each once, in that order."""
    outcomes = [outcome for step in steps if (outcome := _outcome(step)) is not None]
    return tuple(dict.fromkeys(outcome.model for outcome in outcomes))


def hops_of(steps: Iterable[Step]) -> tuple[tuple[Hop, str], ...]:
    """The models that were passed over in these steps, each with the one that answered in its place."""
    outcomes = [outcome for step in steps if (outcome := _outcome(step)) is not None]
    return tuple((hop, outcome.model) for outcome in outcomes for hop in outcome.hops)


def _was_called(step: Step) -> bool:
    """A call that its budget refused was never made."""
    refused = step.failure is not None and step.failure.error == BudgetSpent.__name__
    return step.end in {"done", "failed"} and not refused


def _outcome(step: Step) -> ModelOutcome | None:
    if step.kind != "model" or step.end != "done":
        return None
    try:
        return ModelOutcome.model_validate(step.output)
    except ValidationError:
        return None


def _spent_in_vain(failure: EffectFailure) -> Usage:
    """What a model call took that failed: its error says so, as `ModelError.usage`."""
    try:
        return Usage.model_validate(failure.attributes.get("usage", {}))
    except ValidationError:
        return Usage()


def _spent_in_vain_by_model(failure: EffectFailure) -> dict[str, Usage]:
    try:
        return UsageByModel.model_validate(failure.attributes.get("by_model", {})).parts
    except ValidationError:
        return {}
