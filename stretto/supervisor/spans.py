"""Spans: what supervisors tell of a run, beside its messages: its planning, what it waited for people, and the run as a whole."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Final

from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from stretto.bus import tracing
from stretto.bus.conventions import (
    GEN_AI_AGENT_NAME,
    GEN_AI_CONVERSATION_ID,
    GEN_AI_OPERATION,
    GEN_AI_WORKFLOW_NAME,
    OUTCOME,
    QUESTION,
    ROLE,
    RUN,
    RUN_STATE,
    SESSION_ID,
    TASK,
    TENANT,
)
from stretto.bus.subjects import RunKey
from stretto.shared.contracts.answer import Answer
from stretto.shared.telemetry.usage import usage_attributes
from stretto.shared.telemetry.work import work_attributes
from stretto.supervisor.facts import CommandGiven, Fact, TimerFired
from stretto.supervisor.state import RunState

__all__ = ["planning", "tell_run", "tell_waits"]

_NO_PLAYBOOK: Final = "none"
"""Of runs that ended before they had a plan."""


def planning(agent: str) -> AbstractContextManager[Span]:
    """Around making, or choosing, a plan."""
    attributes = {GEN_AI_OPERATION: "plan", GEN_AI_AGENT_NAME: agent, **work_attributes()} if tracing.is_on() else None
    return tracing.span(f"plan {agent}", attributes=attributes)


def tell_run(key: RunKey, state: RunState, answer: Answer, ended: datetime) -> None:
    """Tell of a run that is over: whoever wrote its answer does, and who finds later that this one may have died. Told twice, it is the
    same span."""
    if not tracing.is_on():
        return
    playbook = answer.playbook or _NO_PLAYBOOK
    attributes: dict[str, AttributeValue] = {
        GEN_AI_OPERATION: "invoke_workflow",
        GEN_AI_WORKFLOW_NAME: playbook,
        TENANT: key.tenant,
        RUN: key.run,
        RUN_STATE: answer.state,
        **usage_attributes(answer.usage),
    }
    request = state.request
    if request is not None and request.request.conversation:
        attributes |= {GEN_AI_CONVERSATION_ID: request.request.conversation, SESSION_ID: request.request.conversation}
    tracing.write_root(
        f"invoke_workflow {playbook}",
        tenant=key.tenant,
        run=key.run,
        began=request.at if request else ended,
        ended=ended,
        attributes=attributes,
        error="failed" if answer.state == "failed" else None,
    )


def tell_waits(key: RunKey, state: RunState, fact: Fact) -> None:
    """Tell what the run waited for a person, when `fact`, which the state follows, has settled the question. Told twice, it is the same
    span."""
    if not isinstance(fact, CommandGiven | TimerFired) or not tracing.is_on():
        return
    for inquiries in state.records.inquiries.values():
        for one in inquiries:
            if one.settled is None or one.since.seq != fact.seq:
                continue
            question = one.question
            tracing.write_span(
                f"wait_for_human {question.kind}",
                began=one.asked.at,
                ended=fact.at,
                parent=tracing.parent_from(None, key.tenant, key.run)[0],
                attributes={
                    RUN: key.run,
                    ROLE: question.role,
                    TASK: question.task,
                    QUESTION: question.id,
                    OUTCOME: one.settled.outcome,
                },
                ids=tracing.ids_of(f"{key.tenant}/{key.run} {question.id}"),
            )
