"""Work: what this process is busy with at the moment, for whoever tells of it: logs and spans."""

from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import NamedTuple

__all__ = ["Work", "current_work", "working_on"]


class Work(NamedTuple):
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


def working_on(work: Work) -> AbstractContextManager[None]:
    """Say what is worked on within the block."""
    return _Working(work)


class _Working:
    # No generator: it is done for every message.
    __slots__ = ("_before", "_work")
    _before: Token[Work | None]

    def __init__(self, work: Work) -> None:
        self._work = work

    def __enter__(self) -> None:
        self._before = _WORK.set(self._work)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _WORK.reset(self._before)
