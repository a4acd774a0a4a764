"""steps_of: the effects of an attempt, from its journal, with timing from spans."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from stretto.shared.contracts.step import ModelOutcome
from stretto.shared.contracts.usage import Usage
from stretto.timeline.attempt_spans import EffectSpan
from stretto.timeline.recorded_step import RecordedStep
from stretto.timeline.story import NOTHING_USED, Hop, Period, Step

__all__ = ["steps_of"]

_SLACK: Final = timedelta(seconds=5)
"""A step is stored when its effect is over; as much later, and as much as clocks may differ."""
_WRITES: Final = "upsert_memory"


def steps_of(recorded: Sequence[RecordedStep], spans: Iterable[EffectSpan]) -> tuple[Step, ...]:
    """What the attempt did, in its order: what is on record, and what only spans tell of: reads, and requests that failed."""
    left = list(spans)
    steps = [_step(one, _taken(one, left)) for one in recorded]
    steps += [Step(one.kind, one.name, one.period, one.usage, error=one.error, recorded=False) for one in left]
    return tuple(sorted(steps, key=_place))


def _place(step: Step) -> float:
    at = step.period.began or step.period.ended
    return at.timestamp() if at else 0.0


def _taken(recorded: RecordedStep, left: list[EffectSpan]) -> EffectSpan | None:
    """The span of the effect that this is the record of, which nothing else is then the record of."""
    step = recorded.step
    failed = step.end == "failed"
    name = _model(step.output) if step.kind == "model" else _WRITES if step.kind == "memory" else step.name
    for position, span in enumerate(left):
        ended = span.period.ended
        near = ended is not None and abs(recorded.at - ended) <= _SLACK
        if span.kind == step.kind and bool(span.error) == failed and near and (failed or span.name in name):
            return left.pop(position)
    return None


def _step(recorded: RecordedStep, span: EffectSpan | None) -> Step:
    step = recorded.step
    period = span.period if span else Period(ended=recorded.at)
    error = step.failure.error if step.failure else ""
    if step.kind == "model":
        outcome = _outcome(step.output)
        if outcome is None:
            return Step("model", span.name if span else step.name, period, _spent(span), error=error)
        hops = tuple(Hop(one.model, one.reason) for one in outcome.hops)
        return Step("model", outcome.model, period, outcome.usage, hops, outcome.prompt, error)
    return Step(step.kind, step.name, period, Usage(tool_calls=int(step.kind == "tool")), error=error)


def _spent(span: EffectSpan | None) -> Usage:
    return span.usage if span else NOTHING_USED


def _model(output: object) -> str:
    outcome = _outcome(output)
    return outcome.model if outcome else ""


def _outcome(output: object) -> ModelOutcome | None:
    try:
        return ModelOutcome.model_validate(output)
    except ValidationError:
        return None
