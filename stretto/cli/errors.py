"""The command line's own errors, and what any error means for the exit code.

CliError
├── UsageFailed      the command was given something that it cannot use
├── NotReachable     no running system, or a part of it is missing
│   └── SystemGone   the system that was used has stopped: another one can go on with the run
├── PartFailed       a process that this command started has ended
└── Interrupted      a signal came before there was a run to cancel
"""

from dataclasses import dataclass
from enum import IntEnum

from stretto.bus.errors import BusError, Misconfigured, NotPermitted, Refused, RetryLater
from stretto.shared.settings import SettingsError

__all__ = [
    "CliError",
    "ExitCode",
    "Failure",
    "Interrupted",
    "NotReachable",
    "PartFailed",
    "SystemGone",
    "UsageFailed",
    "failure_of",
]


class ExitCode(IntEnum):
    """What a command's exit code says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_REACHABLE = 3
    NEEDS_HUMAN = 4


class CliError(Exception):
    """Root of the command line's errors."""

    exit_code: int = ExitCode.FAILED


class UsageFailed(CliError):
    """The command was given something that it cannot use; the text says what would be right."""

    exit_code = ExitCode.USAGE


class NotReachable(CliError):
    """No running system, or a part of it is missing; the text says how to start it."""

    exit_code = ExitCode.NOT_REACHABLE


class SystemGone(NotReachable):
    """The system that was used has stopped. Its store is still there: whoever starts one on it can go on with the run."""


class PartFailed(CliError):
    """A process that this command started has ended; the text is its last word."""

    def __init__(self, message: str, *, exit_code: int = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interrupted(CliError):
    """A signal came before there was a run to cancel."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a person sees it: one line, and the exit code."""

    kind: str
    message: str
    exit_code: int


def failure_of(error: BaseException) -> Failure | None:
    """What the error means, or None for one that nobody expected: a defect, which is shown whole."""
    if isinstance(error, BaseExceptionGroup):
        found = [failure_of(one) for one in error.exceptions]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]  # of groups
        return None if None in found else found[0]
    code = _exit_code(error)
    return None if code is None else Failure(type(error).__name__, " ".join(str(error).split()), code)


def _exit_code(error: BaseException) -> int | None:
    from stretto.shared.errors import DecisionRefused, QuestionAmbiguous, QuestionUnknown, WrongVerb
    from stretto.shared.memory.errors import (
        EmbedderUnusable,
        MemoryFailed,
        MemoryRefused,
        MemoryUnavailable,
        NothingToRead,
        StoreUnusable,
    )
    from stretto.shared.models.errors import ModelError
    from stretto.shared.money.errors import MoneyError
    from stretto.shared.tools.errors import ToolArgumentsWrong, ToolError, ToolForbidden, ToolUnavailable
    from stretto.supervisor.errors import SupervisorError

    match error:
        case CliError():
            return error.exit_code
        case SettingsError() | SupervisorError() | NothingToRead() | MemoryRefused() | ModelError():
            return ExitCode.USAGE
        case QuestionUnknown() | QuestionAmbiguous() | WrongVerb():
            return ExitCode.USAGE
        case DecisionRefused():
            return ExitCode.FAILED
        case RetryLater() | Misconfigured() | NotPermitted():
            return ExitCode.NOT_REACHABLE
        case Refused():
            return ExitCode.USAGE
        case MemoryUnavailable() | StoreUnusable() | EmbedderUnusable():
            return ExitCode.NOT_REACHABLE
        case ToolArgumentsWrong() | ToolForbidden():
            return ExitCode.USAGE
        case ToolUnavailable():
            return ExitCode.NOT_REACHABLE
        case BusError() | MemoryFailed() | MoneyError() | ToolError():
            return ExitCode.FAILED
        case _:
            return None
