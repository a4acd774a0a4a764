"""build: a run's story from its log, its steps and its spans. Pure: whatever of them is missing, there is a story."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from stretto.bus.conventions import GEN_AI_OPERATION
from stretto.bus.subjects import RunKey
from stretto.bus.tracing import trace_of
from stretto.shared.contracts.step import usage_of
from stretto.shared.contracts.usage import Usage
from stretto.supervisor.facts import Fact, ResultRecorded
from stretto.supervisor.questions import Inquiry
from stretto.supervisor.sources import TaskOutput, inputs_of
from stretto.supervisor.state import RunState
from stretto.timeline.attempt_spans import AttemptSpans, by_attempt, period_of
from stretto.timeline.changes import Changes, follow
from stretto.timeline.recorded_span import RecordedSpan
from stretto.timeline.recorded_step import AttemptKey, RecordedStep
from stretto.timeline.steps import steps_of
from stretto.timeline.story import Attempt, Period, Story, Task, Wait

__all__ = ["build"]

_NAMED: Final = 5


def build(
    key: RunKey,
    facts: Sequence[Fact],
    steps: Iterable[RecordedStep],
    spans: Sequence[RecordedSpan] = (),
    *,
    cut: bool = False,
) -> Story | None:
    """The story as far as it goes; None where nobody has asked anything.

    Args:
        facts: the run's log, in its order; steps: of all its attempts.
        spans: of its trace; `cut` where there were too many messages to look through them all.
    """
    state, changes = follow(facts)
    if state.request is None:
        return None
    request = state.request.request
    recorded: dict[AttemptKey, list[RecordedStep]] = defaultdict(list)
    for step in steps:
        recorded[step.attempt].append(step)
    told = by_attempt(spans)
    tasks = tuple(_task(one, state, changes, recorded, told) for one in changes.values())
    answer = state.answered.answer if state.answered else None
    plan = state.course.shape.plan if state.course and state.course.shape else None
    return Story(
        run=key.run,
        tenant=key.tenant,
        trace=trace_of(key.tenant, key.run),
        principal=state.request.principal,
        text=request.text,
        state=answer.state if answer else "open",
        period=Period(state.request.at, state.answered.at if state.answered else None),
        planning=_planning(state, spans),
        playbook=plan.playbook if plan else "",
        plan=plan.reason if plan else "",
        conversation=request.conversation or "",
        tasks=tasks,
        usage=answer.usage if answer else _sum(attempt.usage for task in tasks for attempt in task.attempts),
        answer=(answer.text or answer.reason) if answer else "",
        spans=len(spans),
        missing=_missing(tasks, spans, is_over=answer is not None, cut=cut),
    )


def _planning(state: RunState, spans: Iterable[RecordedSpan]) -> Period:
    for span in spans:
        if span.text(GEN_AI_OPERATION) == "plan":
            return period_of(span)
    began = state.request.at if state.request else None
    return Period(began, state.planned.at if state.planned else None)


def _task(
    changes: Changes,
    state: RunState,
    all_changes: Mapping[str, Changes],
    recorded: Mapping[AttemptKey, Sequence[RecordedStep]],
    told: Mapping[tuple[str, int], AttemptSpans],
) -> Task:
    task = changes.task
    due = [one for one in changes.history if one.status != "waiting"]
    waits: list[Wait] = []
    if changes.history[0].status == "waiting":
        until = due[0].at if due else None
        waits.append(Wait(_inputs(changes, all_changes), Period(changes.history[0].at, until)))
    numbers = range(1, len(task.attempts) + 1 + (task.status in ("due", "parked")))
    attempts = [
        _attempt(changes, number, state, recorded.get((task.role, task.id, number), ()), told.get((task.id, number)))
        for number in numbers
    ]
    if task.status == "delayed" and task.retry:
        last = task.attempts[-1].failure
        why = f"to be tried again ({last.error})" if last else "to be tried again"
        waits.append(Wait(why, Period(changes.history[-1].at, None)))
    return Task(task.id, task.role, task.status, tuple(waits), tuple(attempts))


def _inputs(changes: Changes, all_changes: Mapping[str, Changes]) -> str:
    """What a task waited for at first: those of its inputs that were not there then."""
    began = changes.history[0].at
    names = [
        source.task
        for given in inputs_of(changes.task.planned)
        for source in given.sources
        if isinstance(source, TaskOutput)
    ]
    late = [name for name in dict.fromkeys(names) if name not in all_changes or not _done_by(all_changes[name], began)]
    return ", ".join(late or dict.fromkeys(names)) or "its inputs"


def _done_by(changes: Changes, at: datetime) -> bool:
    return any(one.status == "succeeded" and one.at <= at for one in changes.history)


def _attempt(
    changes: Changes,
    number: int,
    state: RunState,
    recorded: Sequence[RecordedStep],
    told: AttemptSpans | None,
) -> Attempt:
    task = changes.task
    result = state.records.results.get((task.role, task.id, number))
    inquiries = state.records.inquiries.get((task.role, task.id, number), ())
    period = _worked(result, recorded, told)
    waits = [*_delays(changes, number), *_queue(changes, number, period, told), *_people(inquiries)]
    if told and told.rate_limited_s and period.began:
        limited = Period(period.began, period.began + timedelta(seconds=told.rate_limited_s), exact=True)
        waits.append(Wait("the provider's rate limit", limited))
    failure = result.result.failure if result else None
    return Attempt(
        number=number,
        state="begun" if result is None else "failed" if failure else "succeeded",
        agent=result.result.agent if result else _latest_agent(recorded, told),
        period=period,
        waits=tuple(sorted(waits, key=_began)),
        steps=steps_of(recorded, told.effects if told else ()),
        sittings=tuple(told.sittings) if told else (),
        usage=result.result.usage if result else usage_of(one.step for one in recorded),
        error=failure.error if failure else "",
        message=failure.message if failure else "",
        remarks=result.result.remarks if result else (),
        spans=bool(told and told.sittings),
    )


def _worked(result: ResultRecorded | None, recorded: Sequence[RecordedStep], told: AttemptSpans | None) -> Period:
    """From the first work on the attempt to its result, or the last work on it so far."""
    if told and told.sittings:
        ends = [one.period.ended for one in told.sittings if one.period.ended]
        ended = max(ends) if ends and (result or told.sittings[-1].ended) else None
        begins = [one.period.began for one in told.sittings if one.period.began]
        return Period(min(begins), ended, exact=True)
    if result is not None:
        began = result.at - timedelta(seconds=result.result.seconds)
        return Period(min([began, *(one.at for one in recorded)]), result.at)
    return Period(recorded[0].at if recorded else None, None)


def _delays(changes: Changes, number: int) -> Iterator[Wait]:
    """Before it was tried again."""
    for before, after in pairwise(changes.history):
        if before.status == "delayed" and before.attempt == number:
            failure = changes.task.attempts[number - 2].failure
            why = f"to be tried again ({failure.error})" if failure else "to be tried again"
            yield Wait(why, Period(before.at, after.at))


def _queue(changes: Changes, number: int, period: Period, told: AttemptSpans | None) -> Iterator[Wait]:
    """Until an agent began with it, or went on with it."""
    role = changes.task.role
    begins = [one.period.began for one in told.sittings if one.period.began] if told else []
    begins = begins or ([period.began] if period.began else [])
    for position, change in enumerate(changes.history):
        if change.status != "due" or change.attempt != number:
            continue
        begun = min((one for one in begins if one >= change.at), default=None)
        if begun is not None:
            yield Wait(f"a free {role}", Period(change.at, begun))
        elif not begins and position == len(changes.history) - 1:
            yield Wait(f"a free {role}", Period(change.at, None))


def _people(inquiries: Iterable[Inquiry]) -> Iterator[Wait]:
    for one in inquiries:
        why = f"a person: {one.question.kind} {one.question.id}"
        if one.settled is None:
            yield Wait(why, Period(one.asked.at, None))
        else:
            by = f" by {one.settled.principal}" if one.settled.principal else ""
            yield Wait(f"{why}, {one.settled.outcome}{by}", Period(one.asked.at, one.settled.at))


def _began(wait: Wait) -> float:
    return wait.period.began.timestamp() if wait.period.began else 0.0


def _latest_agent(recorded: Sequence[RecordedStep], told: AttemptSpans | None) -> str:
    if told and told.sittings:
        return told.sittings[-1].agent
    return recorded[-1].agent if recorded else ""


def _sum(usages: Iterable[Usage]) -> Usage:
    return sum(usages, Usage())


def _missing(tasks: Iterable[Task], spans: Sequence[RecordedSpan], *, is_over: bool, cut: bool) -> str:
    """What spans do not tell of."""
    if cut:
        return "there are too many spans to look through: times may be those of the log"
    if not spans:
        return "there are no spans of this run: all times are those of the log"
    without = [
        f"{task.id} (attempt {one.number})"
        for task in tasks
        for one in task.attempts
        if not one.spans and one.state != "begun"
    ]
    if not without:
        # The last that is told of a run; under a host application's own provider it has other ids, but the same name.
        whole = any(one.text(GEN_AI_OPERATION) == "invoke_workflow" for one in spans)
        return "" if whole or not is_over else "the last spans are not there (yet): some times may be those of the log"
    named = ", ".join(without[:_NAMED]) + (f" and {len(without) - _NAMED} more" if len(without) > _NAMED else "")
    return f"no spans tell of {named}: times there are those of the log"
