"""Timers: the names and times of what a run waits for by the server's clock."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

__all__ = ["DEADLINE", "TimerOrder", "deadline_name", "retry_name"]

DEADLINE: Final = "deadline"
"""The timer that ends a run that takes too long; see `deadline_name`. The timer that ends a question has the question's id."""

_MAX_NAME_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class TimerOrder:
    """A timer to set for the run, once by name."""

    name: str
    at: datetime


def deadline_name(laps: int) -> str:
    """The deadline's timer after the limit has begun anew `laps` times."""
    return f"{DEADLINE}-{laps}" if laps else DEADLINE


def retry_name(task: str, attempt: int) -> str:
    """The timer that `attempt` at the task (an id in the run) waits for."""
    name = f"retry-{task}-{attempt}"
    return name if len(name) <= _MAX_NAME_CHARS else f"retry-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
