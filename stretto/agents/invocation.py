"""Invocation: what is told of an agent's work on one attempt, as the GenAI conventions have it."""

import asyncio
import contextlib
from collections.abc import Generator, Sequence
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span
from opentelemetry.util.types import AttributeValue

from stretto.agents.agent import Agent
from stretto.agents.gate import Stop
from stretto.bus import tracing
from stretto.bus.conventions import (
    ENDED,
    GEN_AI_AGENT_DESCRIPTION,
    GEN_AI_AGENT_ID,
    GEN_AI_AGENT_NAME,
    GEN_AI_OPERATION,
    REPLAYED_STEPS,
    ROLE,
    TENANT,
)
from stretto.bus.step_log import Found
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.question import Settled
from stretto.shared.contracts.task import TaskResult
from stretto.shared.telemetry.usage import usage_attributes
from stretto.shared.telemetry.work import work_attributes

__all__ = ["Invocation", "invoking"]


class Invocation:
    """The work as it is told."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def ended(self, how: TaskResult | Stop) -> None:
        """Say what came of it. Only what failed is an error: to be parked, overtaken or withdrawn is none."""
        if not self._span.is_recording():
            return
        if isinstance(how, Stop):
            self._span.set_attribute(ENDED, how.name.lower())
            return
        self._span.set_attributes(usage_attributes(how.usage))
        if how.failure is not None:
            tracing.fail(self._span, how.failure.error)


@contextlib.contextmanager
def invoking(
    agent: Agent[Any, Any], key: TaskKey, settled: Sequence[Settled], *, instance: str, found: Found
) -> Generator[Invocation]:
    """Around the work on an attempt.

    Args:
        settled: what it has asked people; instance: who works; found: what was on record of it before.
    """
    if not tracing.is_on():
        yield Invocation(INVALID_SPAN)
        return
    attributes: dict[str, AttributeValue] = {
        GEN_AI_OPERATION: "invoke_agent",
        GEN_AI_AGENT_NAME: agent.role,
        GEN_AI_AGENT_DESCRIPTION: agent.description,
        GEN_AI_AGENT_ID: instance,
        ROLE: agent.role,
        TENANT: key.run.tenant,
        **work_attributes(),
    }
    # What it goes on from is where it asked last.
    asked = found.headers.get(settled[-1].position) if settled else None
    links = tracing.link_from(asked, key.run.tenant, key.run.run, "resume")
    with tracing.span(f"invoke_agent {agent.role}", attributes=attributes, links=links) as span:
        if found.steps:
            span.add_event(REPLAYED_STEPS, {REPLAYED_STEPS: len(found.steps)})
        try:
            yield Invocation(span)
        except asyncio.CancelledError:
            span.set_attribute(ENDED, Stop.SHUT_DOWN.name.lower())
            raise
