"""outcome: what a handler returned or raised, as the attempt's output or failure."""

from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from stretto.agents.agent import Agent
from stretto.agents.errors import AgentError, TaskMisconfigured, TaskPermanent
from stretto.bus.effect_failure import EffectFailed
from stretto.bus.envelope import describe
from stretto.bus.errors import JournalMismatch, RetryLater, TooLarge
from stretto.shared.contracts.task import TaskFailure
from stretto.shared.memory.errors import MemoryFailed, MemoryRefused
from stretto.shared.models.errors import (
    BadReply,
    CannotDo,
    ContextOverflow,
    ModelUnavailable,
    NotConfigured,
    Refused,
    Truncated,
)
from stretto.shared.money.errors import BudgetSpent, LedgerUnreadable, MoneyError, PriceUnknown
from stretto.shared.tools.errors import ToolArgumentsWrong, ToolError, ToolForbidden

__all__ = ["failure_of", "input_of", "is_foreseen", "output_of"]

_FINAL = (CannotDo, ContextOverflow, Refused, Truncated)
"""What a model says that it would say again."""

_MODELS = (*_FINAL, BadReply, ModelUnavailable, NotConfigured)
"""The models' errors whose texts are made for people and hold no content."""

_OUTPUT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, JsonValue], config=ConfigDict(allow_inf_nan=False))


def input_of(agent: Agent[Any, Any], given: dict[str, JsonValue]) -> BaseModel:
    """The input of a handler.

    Raises:
        TaskPermanent: the task's input does not fit the agent; the text says where.
    """
    expected: type[BaseModel] = agent.input_type
    try:
        return expected.model_validate(given)
    except ValidationError as error:
        raise TaskPermanent(f"the task's input does not fit {agent.role}: {describe(error)}") from error


def output_of(agent: Agent[Any, Any], output: object) -> dict[str, Any]:
    """What a handler returned, as data.

    Raises:
        TaskPermanent: it is of another type than the agent says, or cannot travel.
    """
    name = type(agent).__name__
    expected: type[BaseModel] = agent.output_type
    if not isinstance(output, expected):
        raise TaskPermanent(f"{name}.handle returned {type(output).__name__}, not {expected.__name__}")
    try:
        return _OUTPUT.validate_python(output.model_dump(mode="json"))
    except (ValidationError, PydanticSerializationError) as error:
        why = describe(error) if isinstance(error, ValidationError) else "it holds what JSON cannot say"
        raise TaskPermanent(f"{name}.handle returned what cannot travel: {why}") from error


def is_foreseen(error: Exception) -> bool:
    """Whether the text of an error is made for people, and holds no content."""
    return isinstance(
        error, (AgentError, *_MODELS, JournalMismatch, MemoryFailed, MoneyError, RetryLater, ToolError, TooLarge)
    )


def failure_of(error: Exception) -> TaskFailure:
    """What an error means for the next attempt. Texts of unknown errors may hold content: only their names are told."""
    match error:
        case TaskMisconfigured() | LedgerUnreadable() | NotConfigured() | PriceUnknown():
            kind = "misconfigured"
        case TaskPermanent() | BudgetSpent() | MemoryRefused() | ToolArgumentsWrong() | ToolForbidden() | TooLarge():
            kind = "permanent"
        case _ if isinstance(error, _FINAL):
            kind = "permanent"
        case _:
            kind = "retryable"
    name = error.error if isinstance(error, EffectFailed) else type(error).__name__
    message = str(error) if is_foreseen(error) else "the agent failed; its log says where"
    wait_s = error.retry_after_s if isinstance(error, ModelUnavailable) else None
    return TaskFailure.model_validate({"kind": kind, "error": name, "message": message, "retry_after_s": wait_s})
