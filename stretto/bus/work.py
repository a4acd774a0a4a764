"""Work: what this process is busy with at the moment, for whoever tells of it: logs and spans."""

import contextlib
from collections.abc import Generator
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Work", "current_work", "working_on"]


@dataclass(frozen=True, slots=True)
class Work:
    """A run, or one attempt at one of its tasks; `conversation` is the thread of runs that it belongs to."""

    tenant: str
    run: str
    role: str = ""
    task: str = ""
    attempt: int = 0
    conversation: str = ""


_WORK: ContextVar[Work | None] = ContextVar("work", default=None)


def current_work() -> Work | None:
    """What the code that asks is busy with; tasks that it starts are busy with the same."""
    return _WORK.get()


@contextlib.contextmanager
def working_on(work: Work) -> Generator[None]:
    """Say what is worked on within the block."""
    before = _WORK.set(work)
    try:
        yield
    finally:
        _WORK.reset(before)
