"""ending_of: how an agent's work at an attempt ended, as it is counted."""

from typing import Final

from stretto.agents.gate import Stop
from stretto.shared.contracts.task import TaskResult
from stretto.shared.telemetry.counters import AttemptEnd

__all__ = ["ending_of"]

_STOPPED: Final[dict[Stop, AttemptEnd]] = {
    Stop.PARKED: "parked",
    Stop.SUPERSEDED: "superseded",
    Stop.WITHDRAWN: "withdrawn",
}


def ending_of(ended: TaskResult | Stop) -> AttemptEnd:
    """Of what `Attempt.run` gave."""
    if isinstance(ended, TaskResult):
        return "failed" if ended.failure else "succeeded"
    return _STOPPED.get(ended, "shut_down")
