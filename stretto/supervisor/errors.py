"""The supervisor's errors, split by what the caller does next.

SupervisorError
├── PlanUnusable       a plan cannot be followed: `problems` says where and why
├── PlaybookError      a playbook file must be changed: `file`, `line` and `problem` say where and why
└── UnknownPlaybook    the request names a playbook that is not there: reject the run
"""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["PlanUnusable", "PlaybookError", "SupervisorError", "UnknownPlaybook"]


class SupervisorError(Exception):
    """Root of the supervisor's errors."""


class PlanUnusable(SupervisorError):
    """A plan cannot be followed.

    Attributes:
        problems: one text each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class PlaybookError(SupervisorError):
    """A playbook file must be changed.

    Attributes:
        file: the file.
        line: the first line of what is wrong, from 1; 1 where the file as a whole is.
        problem: what is wrong and what would mend it.
    """

    def __init__(self, file: Path, line: int, problem: str) -> None:
        super().__init__(f"{file}:{line}: {problem}")
        self.file = file
        self.line = line
        self.problem = problem


class UnknownPlaybook(SupervisorError):
    """The request names a playbook that is not there.

    Attributes:
        name: what was asked for.
        known: the names there are.
    """

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no playbook {name!r}: use one of {', '.join(known)}")
        self.name = name
        self.known = tuple(known)
