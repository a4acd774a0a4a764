"""Story: what one run did, and what it waited for, as data."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from stretto.bus.step import StepKind
from stretto.shared.contracts.usage import Usage

__all__ = ["NOTHING_USED", "Attempt", "Hop", "Period", "Sitting", "Step", "Story", "Task", "Wait"]

RunState = Literal["open", "completed", "failed", "cancelled", "rejected"]
TaskState = Literal["waiting", "due", "delayed", "parked", "succeeded", "failed"]
NOTHING_USED: Final = Usage()


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when, aware UTC; None where that is not known, or has not come yet.

    Attributes:
        exact: as spans tell it, by the clock of the process that did it; else as the log shows it, by the server's.
    """

    began: datetime | None = None
    ended: datetime | None = None
    exact: bool = False

    @property
    def begin_or_end(self) -> datetime | None:
        """When it was, as far as that is known."""
        return self.began or self.ended

    @property
    def seconds(self) -> float | None:
        if self.began is None or self.ended is None:
            return None
        return max(0.0, (self.ended - self.began).total_seconds())


@dataclass(frozen=True, slots=True)
class Wait:
    """A time in which nothing could be done, and what for: the task or people it waited for, in words."""

    why: str
    period: Period


@dataclass(frozen=True, slots=True)
class Hop:
    """A model that was passed over, and why."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """One effect of an attempt.

    Attributes:
        name: the model, the tool, or what was done to the memory.
        prompt: name and digest of the template of the instructions.
        error: the type of what it failed with; empty where it did not.
        recorded: it stands in the journal. What does not is a read of the memory, or a request to a model that failed or was repaired.
    """

    kind: StepKind
    name: str
    period: Period
    usage: Usage = NOTHING_USED
    hops: tuple[Hop, ...] = ()
    prompt: str = ""
    error: str = ""
    recorded: bool = True


@dataclass(frozen=True, slots=True)
class Sitting:
    """One process's work on an attempt, from its delivery on; told by spans only.

    Attributes:
        ended: how, where it neither succeeded nor failed: `parked`, `superseded`, `withdrawn`, `shut_down`.
        replayed: how many steps it found on record, and did not do again.
    """

    agent: str
    period: Period
    ended: str = ""
    error: str = ""
    replayed: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One numbered try at a task.

    Attributes:
        state: `begun` while it has no result.
        error: the type of its failure, and `message` what is said of it.
        remarks: what people should know of how its output came about.
        spans: whether spans tell of it.
    """

    number: int
    state: Literal["begun", "succeeded", "failed"]
    agent: str
    period: Period
    waits: tuple[Wait, ...] = ()
    steps: tuple[Step, ...] = ()
    sittings: tuple[Sitting, ...] = ()
    usage: Usage = NOTHING_USED
    error: str = ""
    message: str = ""
    remarks: tuple[str, ...] = ()
    spans: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the plan, or a later version of it."""

    id: str
    role: str
    state: TaskState
    waits: tuple[Wait, ...] = ()
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """A run.

    Attributes:
        trace: the id of its trace, in hex.
        period: from its acceptance to its answer, by the server's clock.
        planning: the choice of its plan; `plan` says why this one.
        text: what was asked; `answer` what came of it, or why nothing did.
        spans: how many spans were found of it; `missing` says in words what they do not cover, empty where nothing is missing.
    """

    run: str
    tenant: str
    trace: str
    principal: str
    text: str
    state: RunState
    period: Period
    planning: Period
    playbook: str = ""
    plan: str = ""
    conversation: str = ""
    tasks: tuple[Task, ...] = ()
    usage: Usage = NOTHING_USED
    answer: str = ""
    spans: int = 0
    missing: str = ""

    def data(self) -> dict[str, Any]:
        """As JSON has it: the same names, times in RFC 3339."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case Usage():
            return value.model_dump(mode="json")
        case dict():
            return {name: _plain(one) for name, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list() | tuple():
            return [_plain(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value
