"""RunTask and TaskResult: what goes to an agent, and what comes back."""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, JsonValue

from stretto.bus.message import Message, Value
from stretto.bus.subjects import Token
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.conversation import Conversation
from stretto.shared.contracts.ensemble import Ensemble
from stretto.shared.contracts.question import Settled
from stretto.shared.contracts.usage import Usage

__all__ = ["RunTask", "TaskFailure", "TaskResult"]


class RunTask(Message):
    """Do one task.

    Attributes:
        shard: of the run, so that the agent can write its result.
        task, attempt, role: which try at which task.
        input: fields for the agent's input model.
        scope: the document roots of the request.
        origin_seq: the request's sequence in the run's stream: readers of the run's log begin there.
        deadline: the run's: the agent stops by itself then.
        time_limit_s: how long this attempt may take; None for no limit of its own.
        settled: the questions that this attempt has asked so far, each settled, in the order in which they were asked. There are as many
            as times that it went on after waiting for a person.
        budget: the run's.
        ensemble: several models are asked for each reply.
        conversation: what was said in it before the run, where the run is part of one.
    """

    TYPE: ClassVar[str] = "task"

    shard: Annotated[int, Field(ge=0)]
    task: Token
    attempt: Annotated[int, Field(ge=1)]
    role: Token
    input: dict[str, JsonValue]
    scope: tuple[str, ...] = ()
    origin_seq: Annotated[int, Field(ge=0)] = 0
    deadline: AwareDatetime | None = None
    time_limit_s: Annotated[float, Field(gt=0)] | None = None
    settled: tuple[Settled, ...] = ()
    budget: Budget | None = None
    ensemble: Ensemble | None = None
    conversation: Conversation | None = None


class TaskFailure(Value):
    """Why an attempt failed.

    Attributes:
        kind: `retryable` (another attempt may succeed), `permanent`, or `misconfigured` (a person must change something).
        error: the error's class name.
        message: for people; never holds the content of documents or prompts.
        retry_after_s: when whoever failed wants to be asked again at the earliest, where it said so.
    """

    kind: Literal["retryable", "permanent", "misconfigured"]
    error: str
    message: str
    retry_after_s: Annotated[float, Field(ge=0)] | None = None


class TaskResult(Message):
    """The one outcome of one attempt: an output or a failure.

    Attributes:
        agent: the instance that did it.
        output: the agent's output model, as data; present exactly when `failure` is not.
        seconds: wall time of the attempt.
        by_model: the part of `usage` that each model took.
        remarks: what people should know of how the output came about (a model that was passed over, a budget that was spent), in sentences.
    """

    TYPE: ClassVar[str] = "result"
    PLACE: ClassVar[tuple[str, ...]] = ("role", "task", "attempt")

    task: Token
    attempt: Annotated[int, Field(ge=1)]
    role: Token
    agent: Token
    output: dict[str, JsonValue] | None = None
    failure: TaskFailure | None = None
    usage: Usage = Usage()
    models: tuple[str, ...] = ()
    seconds: Annotated[float, Field(ge=0)] = 0.0
    by_model: dict[str, Usage] = Field(default_factory=dict)
    remarks: tuple[str, ...] = ()
