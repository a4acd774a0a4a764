"""remarks: what people should know of how an attempt's output came about, from its recorded steps."""

from collections.abc import Iterable, Mapping
from typing import Final

from stretto.agents.edge import raise_told
from stretto.bus.step import Step
from stretto.shared.contracts.step import hops_of
from stretto.shared.models.protocol import Hop

__all__ = ["remarks_of"]

_WHY: Final[Mapping[str, str]] = {
    "BadReply": "its reply did not fit",
    "CannotDo": "it cannot do what was asked",
    "ContextOverflow": "it cannot read that much",
    "LimitReached": "it is asked no more often than the settings allow",
    "ModelUnavailable": "it did not answer",
    "Overloaded": "it had no room",
    "RateLimited": "it takes no more requests for now",
    "Refused": "it declined",
    "TimedOut": "it took too long",
    "Truncated": "its reply was cut off",
    "circuit_open": "it had failed again and again",
    "low_confidence": "it was not sure enough",
}
"""Without the figures of a single call: the same thing said by many tasks is one remark."""


def remarks_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """In sentences, each once."""
    known = tuple(steps)
    said = [f"{model} answered in place of {hop.model}: {_why(hop)}." for hop, model in hops_of(known)]
    return tuple(dict.fromkeys([*said, *(raised for one in known if (raised := raise_told(one)))]))


def _why(hop: Hop) -> str:
    return _WHY.get(hop.reason) or hop.detail or hop.reason
