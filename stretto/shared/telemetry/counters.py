"""Counters: how often what happened, told by the process in which it did. No label names a run, a tenant or anything of a content."""

import contextlib
from collections.abc import Callable, Generator
from typing import Final, Literal, get_args

from opentelemetry import metrics

from stretto import __version__
from stretto.bus.conventions import (
    ACCOUNT,
    ERROR_TYPE,
    FALLBACK_REASON,
    GEN_AI_REQUEST_MODEL,
    GEN_AI_TOKEN_TYPE,
    GEN_AI_TOOL_NAME,
    OUTCOME,
    ROLE,
    RUN_STATE,
    UNIT,
)
from stretto.bus.work import current_work
from stretto.shared.contracts.account import AccountKind
from stretto.shared.contracts.answer import RunEnd
from stretto.shared.contracts.usage import Usage

__all__ = [
    "AttemptEnd",
    "begin_attempts",
    "begin_runs",
    "budget_refused",
    "budget_spent",
    "counted_attempt",
    "counted_call",
    "model_called",
    "model_passed_over",
    "run_ended",
]

AttemptEnd = Literal["succeeded", "failed", "parked", "superseded", "withdrawn", "shut_down"]

_METER: Final = metrics.get_meter("stretto", __version__)
_RUNS: Final = _METER.create_counter("stretto.runs.ended", "{run}", "Runs that ended, by their final state")
_RETRIES: Final = _METER.create_counter("stretto.tasks.retries", "{attempt}", "Attempts at tasks beyond the first")
_ATTEMPTS: Final = _METER.create_counter(
    "stretto.tasks.attempts", "{attempt}", "Attempts at tasks that ended, by role and outcome"
)
_CALLS: Final = _METER.create_counter("stretto.model.calls", "{call}", "Requests to models")
_TOKENS: Final = _METER.create_counter("stretto.model.tokens", "{token}", "Tokens that models took")
_COST: Final = _METER.create_counter("stretto.model.cost", "USD", "What models cost, in US dollars")
_PASSED: Final = _METER.create_counter(
    "stretto.model.fallbacks", "{fallback}", "Models of a chain that were passed over, by reason"
)
_TOOLS: Final = _METER.create_counter("stretto.tool.calls", "{call}", "Calls of tools, by outcome")
_SPENT: Final = _METER.create_counter("stretto.budget.spent", "USD", "What was spent on accounts that have limits")
_REFUSED: Final = _METER.create_counter(
    "stretto.budget.refused", "{call}", "Calls that a used-up budget did not allow, by account"
)


def begin_runs() -> None:
    """Told by a supervisor at its start: Prometheus sees an increase only from a number that it saw before."""
    for state in get_args(RunEnd):
        _RUNS.add(0, {RUN_STATE: state})


def begin_attempts(role: str) -> None:
    """Told by an agent at its start, as `begin_runs`."""
    _RETRIES.add(0, {ROLE: role})
    for outcome in ("succeeded", "failed"):
        _ATTEMPTS.add(0, {ROLE: role, OUTCOME: outcome})


def run_ended(state: RunEnd) -> None:
    """Told by the supervisor whose answer it is that stands."""
    _RUNS.add(1, {RUN_STATE: state})


@contextlib.contextmanager
def counted_attempt(role: str, number: int) -> Generator[Callable[[AttemptEnd], None]]:
    """Count the block as work at an attempt: its number counts from 1. What is yielded is to be told how it ended; a block that is broken
    off before, by an end of the process, ended as `shut_down`.
    """
    if number > 1:
        _RETRIES.add(1, {ROLE: role})
    ended: list[AttemptEnd] = []
    try:
        yield ended.append
    finally:
        _ATTEMPTS.add(1, {ROLE: role, OUTCOME: ended[-1] if ended else "shut_down"})


def model_called(model: str, usage: Usage, *, error: str = "") -> None:
    """One request was sent, for the role that is at work here; an error by its type."""
    labels = {ROLE: _role(), GEN_AI_REQUEST_MODEL: model}
    _CALLS.add(1, {**labels, ERROR_TYPE: error} if error else labels)
    fresh = max(0, usage.input_tokens - usage.cached_input_tokens)
    for kind, tokens in (("input", fresh), ("cached", usage.cached_input_tokens), ("output", usage.output_tokens)):
        if tokens:
            _TOKENS.add(tokens, {**labels, GEN_AI_TOKEN_TYPE: kind})
    if usage.cost_usd:
        _COST.add(usage.cost_usd, labels)


def model_passed_over(model: str, reason: str) -> None:
    """The next one of the chain was asked instead."""
    _PASSED.add(1, {ROLE: _role(), GEN_AI_REQUEST_MODEL: model, FALLBACK_REASON: reason})


@contextlib.contextmanager
def counted_call(tool: str) -> Generator[None]:
    """Count the block as a call of a tool; what it raises is told by its type."""
    labels = {ROLE: _role(), GEN_AI_TOOL_NAME: tool}
    try:
        yield
    except BaseException as error:
        _TOOLS.add(1, {**labels, OUTCOME: "failed", ERROR_TYPE: type(error).__name__})
        raise
    _TOOLS.add(1, {**labels, OUTCOME: "done"})


def budget_spent(account: AccountKind, cost_usd: float) -> None:
    """A call was settled; each of a run's accounts tells it, so they are not to be added up."""
    if cost_usd:
        _SPENT.add(cost_usd, {ACCOUNT: account})


def budget_refused(account: AccountKind, unit: str) -> None:
    """A call was not made: the account has too little left of the unit."""
    _REFUSED.add(1, {ACCOUNT: account, UNIT: unit})


def _role() -> str:
    work = current_work()
    return work.role if work else ""
