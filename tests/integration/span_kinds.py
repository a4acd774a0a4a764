"""Span kinds: all that Stretto's spans may say by default, as a table: who checks a span against it finds what is wrong with it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from stretto.bus import conventions as c
from tests.integration.spans import Span, Value

__all__ = ["KINDS", "SpanKind", "faults_of", "kind_of"]

LONGEST = 200
"""Names, ids and addresses are shorter; what is longer is likely to be content."""

_RUN_KINDS: Final = "request|decision|result|question|command|schedule|timer|answer"


@dataclass(frozen=True, slots=True)
class SpanKind:
    """One kind of span.

    Attributes:
        title: as the documentation names it.
        name: a pattern of the span's whole name.
        under: patterns of the names of what it may hang under; empty for a root.
        must: the attributes that each has, with their types; may: those that some have.
        events: those that it may have, with their attributes; links: what they may be.
        in_run: those of its attributes that it has where it is a part of a run.
    """

    title: str
    name: str
    kind: str
    under: tuple[str, ...]
    must: Mapping[str, type]
    may: Mapping[str, type] = field(default_factory=dict)
    events: Mapping[str, Mapping[str, type]] = field(default_factory=dict)
    links: frozenset[str] = frozenset()
    in_run: Mapping[str, type] = field(default_factory=dict)


_THREAD: Final[Mapping[str, type]] = {c.GEN_AI_CONVERSATION_ID: str, c.SESSION_ID: str}
_TASK: Final[Mapping[str, type]] = {c.TASK: str, c.ATTEMPT: int, c.ROLE: str}
_FAILED: Final[Mapping[str, type]] = {c.ERROR_TYPE: str}
_MESSAGE: Final[Mapping[str, type]] = {
    c.MESSAGING_SYSTEM: str,
    c.MESSAGING_OPERATION_NAME: str,
    c.MESSAGING_OPERATION_TYPE: str,
    c.MESSAGING_DESTINATION: str,
    c.MESSAGING_MESSAGE_ID: str,
}
_DELIVERED: Final[Mapping[str, type]] = {
    c.MESSAGING_CONSUMER_GROUP: str,
    c.MESSAGING_STREAM: str,
    c.MESSAGING_SEQUENCE: int,
    c.MESSAGING_DELIVERY: int,
}
_USAGE: Final[Mapping[str, type]] = {
    c.GEN_AI_INPUT_TOKENS: int,
    c.GEN_AI_OUTPUT_TOKENS: int,
    c.GEN_AI_CACHE_READ_TOKENS: int,
    c.GEN_AI_REASONING_TOKENS: int,
    c.COST_USD: float,
}
_OF_RUN: Final[Mapping[str, type]] = {c.MESSAGING_CONVERSATION_ID: str}
_WORK: Final[Mapping[str, type]] = {c.RUN: str}
_WAITED: Final[Mapping[str, Mapping[str, type]]] = {c.RATE_LIMITED: {c.RATE_LIMITED_S: float}}

_AGENT: Final = r"invoke_agent \S+"
_ROOT: Final = r"invoke_workflow \S+"
_PROCESS: Final = r"process \S+"
_TOOL: Final = r"execute_tool \S+"

KINDS: Final = (
    SpanKind(
        title="invoke_workflow {playbook}",
        name=_ROOT,
        kind="INTERNAL",
        under=(),
        must={c.GEN_AI_OPERATION: str, c.GEN_AI_WORKFLOW_NAME: str, c.RUN: str, c.TENANT: str, c.RUN_STATE: str},
        may={**_THREAD, **_FAILED, **_USAGE, c.MODEL_CALLS: int, c.TOOL_CALLS: int},
        links=frozenset({"caller"}),
    ),
    SpanKind(
        title="send stretto.run.{run}.{kind}",
        name=rf"send [a-z0-9_-]+\.run\.\{{run\}}\.({_RUN_KINDS})",
        kind="PRODUCER",
        under=(_ROOT, _PROCESS, _AGENT),
        must=_MESSAGE,
        may={**_THREAD, **_FAILED, **_TASK, c.RUN: str, c.TENANT: str, c.QUESTION: str},
        in_run=_OF_RUN,
        links=frozenset({"caller"}),
    ),
    SpanKind(
        title="process stretto.run.{run}.{kind}",
        name=rf"process [a-z0-9_-]+\.run\.\{{run\}}\.({_RUN_KINDS})",
        kind="CONSUMER",
        under=(_ROOT, r"send \S+"),
        must={**_MESSAGE, **_DELIVERED},
        may={**_THREAD, **_FAILED, **_TASK, c.RUN: str, c.TENANT: str, c.QUESTION: str},
        in_run=_OF_RUN,
    ),
    SpanKind(
        title="send stretto.task.{role}",
        name=r"send [a-z0-9_-]+\.task\.\{role\}",
        kind="PRODUCER",
        under=(_ROOT, _PROCESS),
        must={**_MESSAGE, c.ROLE: str, c.TASK: str, c.ATTEMPT: int},
        may={**_THREAD, **_FAILED, c.RUN: str, c.TENANT: str},
        in_run=_OF_RUN,
    ),
    SpanKind(
        title="process stretto.task.{role}",
        name=r"process [a-z0-9_-]+\.task\.\{role\}",
        kind="CONSUMER",
        under=(_ROOT, r"send [a-z0-9_-]+\.task\.\{role\}"),
        must={**_MESSAGE, **_DELIVERED, c.ROLE: str, c.TASK: str, c.ATTEMPT: int},
        may={**_THREAD, **_FAILED, c.RUN: str, c.TENANT: str, c.ENDED: str},
        in_run=_OF_RUN,
    ),
    SpanKind(
        title="plan {agent}",
        name=r"plan \S+",
        kind="INTERNAL",
        under=(_PROCESS, _AGENT),
        must={c.GEN_AI_OPERATION: str, c.GEN_AI_AGENT_NAME: str, c.RUN: str},
        may={**_THREAD, **_FAILED, c.TASK: str, c.ATTEMPT: int},
        events={c.FALLBACK: {c.FALLBACK_MODEL: str, c.FALLBACK_REASON: str}, **_WAITED},
    ),
    SpanKind(
        title="invoke_agent {role}",
        name=_AGENT,
        kind="INTERNAL",
        under=(_PROCESS,),
        must={
            c.GEN_AI_OPERATION: str,
            c.GEN_AI_AGENT_NAME: str,
            c.GEN_AI_AGENT_DESCRIPTION: str,
            c.RUN: str,
            c.TASK: str,
            c.ATTEMPT: int,
        },
        may={
            **_THREAD,
            **_FAILED,
            **_USAGE,
            c.GEN_AI_AGENT_ID: str,
            c.ROLE: str,
            c.TENANT: str,
            c.MODEL_CALLS: int,
            c.TOOL_CALLS: int,
            c.ENDED: str,
        },
        events={
            c.REPLAYED_STEPS: {c.REPLAYED_STEPS: int},
            c.FALLBACK: {c.FALLBACK_MODEL: str, c.FALLBACK_REASON: str},
            **_WAITED,
        },
        links=frozenset({"resume"}),
    ),
    SpanKind(
        title="chat {model}",
        name=r"chat \S+",
        kind="CLIENT",
        under=(_AGENT, r"plan \S+", _TOOL),
        must={
            c.GEN_AI_OPERATION: str,
            c.GEN_AI_PROVIDER: str,
            c.GEN_AI_REQUEST_MODEL: str,
            c.GEN_AI_FINISH_REASONS: list,
            c.RUN: str,
            c.TASK: str,
            c.ATTEMPT: int,
        },
        may={
            **_THREAD,
            **_FAILED,
            **_USAGE,
            c.GEN_AI_REQUEST_MAX_TOKENS: int,
            c.GEN_AI_REQUEST_STREAM: bool,
            c.GEN_AI_RESPONSE_MODEL: str,
            c.GEN_AI_RESPONSE_ID: str,
            c.GEN_AI_OUTPUT_TYPE: str,
            c.SERVER_ADDRESS: str,
            c.SERVER_PORT: int,
        },
        events=_WAITED,
    ),
    SpanKind(
        title="execute_tool {tool}",
        name=_TOOL,
        kind="INTERNAL",
        under=(_AGENT, r"plan \S+"),
        must={
            c.GEN_AI_OPERATION: str,
            c.GEN_AI_TOOL_NAME: str,
            c.GEN_AI_TOOL_TYPE: str,
            c.RUN: str,
            c.TASK: str,
            c.ATTEMPT: int,
        },
        may={**_THREAD, **_FAILED, c.GEN_AI_TOOL_CALL_ID: str},
        events=_WAITED,
    ),
    SpanKind(
        title="search_memory, around_memory, upsert_memory, …",
        name=r"[a-z]+_memory|embeddings",
        kind="CLIENT",
        under=(_PROCESS, _AGENT, r"plan \S+", _TOOL, r"chat \S+"),
        must={c.GEN_AI_OPERATION: str, c.GEN_AI_PROVIDER: str, c.GEN_AI_MEMORY_STORE: str},
        may={**_THREAD, **_FAILED, c.RECORDS: int, c.TASK: str, c.ATTEMPT: int},
        in_run=_WORK,
    ),
    SpanKind(
        title="process stretto.memory.{verb}",
        name=r"process [a-z0-9_-]+\.memory\.\{verb\}",
        kind="CONSUMER",
        under=(_ROOT, r"[a-z]+_memory|embeddings"),
        must=_MESSAGE,
        may={**_THREAD, **_FAILED, **_TASK, c.RUN: str, c.TENANT: str, c.MESSAGING_CONSUMER_GROUP: str},
        in_run=_OF_RUN,
    ),
    SpanKind(
        title="wait_for_human {kind}",
        name=r"wait_for_human (question|approval)",
        kind="INTERNAL",
        under=(_ROOT, _AGENT, _PROCESS, r"send \S+"),
        must={c.RUN: str, c.QUESTION: str, c.OUTCOME: str},
        may={**_THREAD, **_TASK, c.GEN_AI_OPERATION: str, c.TENANT: str},
    ),
)


def kind_of(span: Span) -> SpanKind | None:
    """The row of the table that the span's name is in."""
    return next((one for one in KINDS if re.fullmatch(one.name, span.name)), None)


def faults_of(span: Span, *, parent: Span | None, in_run: bool) -> list[str]:
    """What the table says against a span; nothing where all is well.

    Args:
        parent: what it hangs under, where that is known.
        in_run: whether its trace is a run's.
    """
    kind = kind_of(span)
    if kind is None:
        return [f"{span}: there is no such kind"]
    said = [f"kind is {span.kind}"] if span.kind != kind.kind else []
    wanted = {**kind.must, **(kind.in_run if in_run else {})}
    said += [f"{name} is missing" for name in sorted(wanted.keys() - span.attributes.keys())]
    said += _typed(span.attributes, {**kind.may, **kind.in_run, **kind.must})
    for event in span.events:
        if event.name not in kind.events:
            said.append(f"event {event.name} is not for it")
        else:
            said += [f"event {event.name}: {one}" for one in _typed(event.attributes, kind.events[event.name])]
    for link in span.links:
        if set(link.attributes) != {c.LINK} or link.attributes[c.LINK] not in kind.links:
            said.append(f"a link says {dict(link.attributes)}")
    if parent and not any(re.fullmatch(one, parent.name) for one in kind.under):
        said.append(f"it hangs under {parent.name}")
    if span.message:
        said.append("its status has a text")
    if span.failed is not (c.ERROR_TYPE in span.attributes):
        said.append("status and error.type do not agree")
    return [f"{span}: {one}" for one in said]


def _typed(given: Mapping[str, Value], allowed: Mapping[str, type]) -> Iterable[str]:
    for name, value in given.items():
        if name not in allowed:
            yield f"{name} is not for it"
        elif type(value) is not allowed[name]:
            yield f"{name} is a {type(value).__name__}"
        elif isinstance(value, str) and not 0 < len(value) <= LONGEST:
            yield f"{name} has {len(value)} characters"
