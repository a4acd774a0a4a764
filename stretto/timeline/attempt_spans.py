"""AttemptSpans: what the spans of a run tell of one attempt."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stretto.bus.conventions import (
    ATTEMPT,
    COST_USD,
    ENDED,
    ERROR_TYPE,
    GEN_AI_AGENT_ID,
    GEN_AI_CACHE_READ_TOKENS,
    GEN_AI_INPUT_TOKENS,
    GEN_AI_OPERATION,
    GEN_AI_OUTPUT_TOKENS,
    GEN_AI_REQUEST_MODEL,
    GEN_AI_TOOL_NAME,
    RATE_LIMITED,
    RATE_LIMITED_S,
    REPLAYED_STEPS,
    TASK,
)
from stretto.bus.step import StepKind
from stretto.shared.contracts.usage import Usage
from stretto.timeline.recorded_span import RecordedSpan
from stretto.timeline.story import Period, Sitting

__all__ = ["AttemptSpans", "EffectSpan", "by_attempt", "period_of"]

_INVOKE = "invoke_agent"
_KINDS: Mapping[str, StepKind] = {"chat": "model", "execute_tool": "tool"}


@dataclass(frozen=True, slots=True)
class EffectSpan:
    """A request to a model, a call of a tool, or of the memory."""

    kind: StepKind
    name: str
    period: Period
    usage: Usage
    error: str


@dataclass(slots=True)
class AttemptSpans:
    """Those of one attempt, in the order of their beginning.

    Attributes:
        rate_limited_s: how long its requests waited for a provider's rate limit.
    """

    sittings: list[Sitting] = field(default_factory=list[Sitting])
    effects: list[EffectSpan] = field(default_factory=list[EffectSpan])
    rate_limited_s: float = 0.0


def by_attempt(spans: Iterable[RecordedSpan]) -> dict[tuple[str, int], AttemptSpans]:
    """By task and attempt. Spans whose parents are missing say by themselves where they belong."""
    found: dict[tuple[str, int], AttemptSpans] = {}
    for span in spans:
        task = span.text(TASK)
        if not task:
            continue
        of_attempt = found.setdefault((task, span.number(ATTEMPT)), AttemptSpans())
        if span.text(GEN_AI_OPERATION) == _INVOKE:
            of_attempt.sittings.append(_sitting(span))
            limited_s = span.events.get(RATE_LIMITED, {}).get(RATE_LIMITED_S, 0.0)
            took_s = (span.ended - span.began).total_seconds()
            of_attempt.rate_limited_s += limited_s if isinstance(limited_s, float) and 0 <= limited_s <= took_s else 0.0
        elif (effect := _effect(span)) is not None:
            of_attempt.effects.append(effect)
    return found


def period_of(span: RecordedSpan) -> Period:
    """When it was, exactly."""
    return Period(span.began, span.ended, exact=True)


def _sitting(span: RecordedSpan) -> Sitting:
    replayed = span.events.get(REPLAYED_STEPS, {}).get(REPLAYED_STEPS, 0)
    return Sitting(
        agent=span.text(GEN_AI_AGENT_ID),
        period=period_of(span),
        ended=span.text(ENDED),
        error=span.text(ERROR_TYPE),
        replayed=replayed if isinstance(replayed, int) else 0,
    )


def _effect(span: RecordedSpan) -> EffectSpan | None:
    operation = span.text(GEN_AI_OPERATION)
    if operation.endswith("_memory"):
        kind: StepKind = "memory"
        name = operation
    elif operation in _KINDS:
        kind = _KINDS[operation]
        name = span.text(GEN_AI_REQUEST_MODEL if kind == "model" else GEN_AI_TOOL_NAME)
    else:
        return None
    usage = Usage(
        model_calls=int(kind == "model"),
        tool_calls=int(kind == "tool"),
        input_tokens=span.number(GEN_AI_INPUT_TOKENS),
        cached_input_tokens=span.number(GEN_AI_CACHE_READ_TOKENS),
        output_tokens=span.number(GEN_AI_OUTPUT_TOKENS),
        cost_usd=span.quantity(COST_USD),
    )
    return EffectSpan(kind, name, period_of(span), usage, span.text(ERROR_TYPE))
