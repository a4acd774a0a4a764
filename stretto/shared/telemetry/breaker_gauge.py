"""breaker_gauge: what each process knows of its models' breakers."""

from collections.abc import Iterable
from typing import Final
from weakref import WeakSet

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from stretto import __version__
from stretto.bus.conventions import GEN_AI_REQUEST_MODEL
from stretto.shared.models.breaker import Breakers

__all__ = ["tell_breakers"]

_METER: Final = metrics.get_meter("stretto", __version__)
_STATES: Final = {"half_open": 1, "open": 2}
_TOLD: Final = WeakSet[Breakers]()


def tell_breakers(breakers: Breakers) -> None:
    """Tell of these for as long as they are there."""
    _TOLD.add(breakers)


def _observe(_: CallbackOptions) -> Iterable[Observation]:
    """In whichever thread collects."""
    for breakers in list(_TOLD):
        for model, state in breakers.states():
            yield Observation(_STATES.get(state, 0), {GEN_AI_REQUEST_MODEL: model})


_METER.create_observable_gauge(
    "stretto.model.breaker", [_observe], description="State of a model's breaker: 0 closed, 1 half open, 2 open"
)
