"""fallback: a model was passed over, told by whoever wanted its reply."""

from opentelemetry import trace

from stretto.bus.conventions import FALLBACK, FALLBACK_MODEL, FALLBACK_REASON
from stretto.shared.models.protocol import Hop
from stretto.shared.telemetry.counters import model_passed_over

__all__ = ["tell_fallback"]


def tell_fallback(hop: Hop) -> None:
    """As an event of the current span, which is the agent's work: the model, and the kind of the reason."""
    model_passed_over(hop.model, hop.reason)
    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(FALLBACK, {FALLBACK_MODEL: hop.model, FALLBACK_REASON: hop.reason})
