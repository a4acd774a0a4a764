"""TraceLine: the lines that tell a run's story: its tree, flattened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from stretto.cli.dollars import dollars
from stretto.shared.contracts.usage import Usage
from stretto.timeline.story import Attempt, Period, Step, Story, Task, Wait

__all__ = ["Style", "TraceLine", "lines_of", "spent"]

Style = Literal["work", "step", "wait", "error", "note"]


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One line: `depth` says how far it is set in; `more` stands behind its text where there is room."""

    depth: int
    text: str
    style: Style
    period: Period | None = None
    more: str = ""


def lines_of(story: Story) -> Iterator[TraceLine]:
    """The story, in its order. Waits for an agent that are next to nothing beside the whole are left out."""
    yield TraceLine(0, "plan", "work", story.planning, story.playbook)
    whole = story.period.seconds
    for task in story.tasks:
        if task.state == "waiting" and whole is not None:
            yield TraceLine(0, _name(task), "note", None, "not needed")
        else:
            yield from _task(task, (whole or 0.0) * _TOO_SHORT)


def _name(task: Task) -> str:
    return task.id if task.id == task.role else f"{task.id} ({task.role})"


def _task(task: Task, too_short_s: float) -> Iterator[TraceLine]:
    first = task.attempts[0] if task.attempts else None
    single = first is not None and len(task.attempts) == 1
    if single and first is not None:
        yield TraceLine(0, _name(task), _style(first), first.period, _more(first))
    else:
        begins = [one.period.began for one in task.attempts if one.period.began]
        ends = [one.period.ended for one in task.attempts if one.period.ended]
        whole = Period(min(begins, default=None), max(ends, default=None))
        tried = f"{len(task.attempts)} attempts" if task.attempts else _STATES.get(task.state, task.state)
        yield TraceLine(0, _name(task), "error" if task.state == "failed" else "work", whole, tried)
    yield from (_wait(one, 1) for one in task.waits)
    for attempt in task.attempts:
        if not single:
            yield from (_wait(one, 1) for one in _told(attempt, too_short_s) if _before(one, attempt))
            yield TraceLine(1, f"attempt {attempt.number}", _style(attempt), attempt.period, _more(attempt))
        waits = [one for one in _told(attempt, too_short_s) if single or not _before(one, attempt)]
        yield from _inside(attempt, waits, 1 if single else 2)


_TOO_SHORT: Final = 0.02
"""Of the run's time."""
_STATES: Final = {"waiting": "waits", "due": "due", "delayed": "to be tried again", "parked": "waits for a person"}


def _told(attempt: Attempt, too_short_s: float) -> list[Wait]:
    return [one for one in attempt.waits if one.period.seconds is None or one.period.seconds >= too_short_s]


def _inside(attempt: Attempt, waits: Sequence[Wait], depth: int) -> Iterator[TraceLine]:
    inside: list[tuple[float, TraceLine]] = [(_at(one.period), _wait(one, depth)) for one in waits]
    for steps in _grouped(attempt.steps):
        inside.append((_at(steps[0].period), _step(steps, depth)))
        for hop in steps[0].hops:
            passed_over = TraceLine(depth + 1, f"passed over {hop.model}", "note", None, hop.reason)
            inside.append((_at(steps[0].period), passed_over))
    if len(attempt.sittings) > 1:
        for number, one in enumerate(attempt.sittings, start=1):
            how = one.ended.replace("_", " ") or one.error
            replayed = f"{one.replayed} steps from the record" if one.replayed else ""
            more = ", ".join(part for part in (how, replayed) if part)
            line = TraceLine(depth, f"delivery {number} {one.agent}", "note", one.period, more)
            inside.append((_at(one.period), line))
    elif attempt.sittings and attempt.sittings[0].replayed:
        more = f"{attempt.sittings[0].replayed} steps from the record"
        inside.append((_at(attempt.period), TraceLine(depth, "goes on after a stop", "note", None, more)))
    yield from (line for _, line in sorted(inside, key=lambda one: one[0]))
    if attempt.message:
        yield TraceLine(depth, f"{attempt.error}: {attempt.message}", "error")
    for remark in attempt.remarks:
        yield TraceLine(depth, remark, "note")


def _grouped(steps: Sequence[Step]) -> list[list[Step]]:
    """Reads of one kind in a row are one line."""
    groups: list[list[Step]] = []
    for step in steps:
        before = groups[-1][0] if groups else None
        reads = step.kind == "memory" and not step.recorded
        if reads and before and not before.recorded and (before.name, before.error) == (step.name, step.error):
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _step(steps: list[Step], depth: int) -> TraceLine:
    step = steps[0]
    begins = [one.period.began for one in steps if one.period.began]
    ends = [one.period.ended for one in steps if one.period.ended]
    period = Period(min(begins, default=None), max(ends, default=None), step.period.exact)
    times = f" x{len(steps)}" if len(steps) > 1 else ""
    names = {"model": f"model {step.name}", "tool": f"tool {step.name}", "ask": "asks a person", "step": step.name}
    name = names.get(step.kind, step.name.replace("_", " "))
    more = ", ".join(part for part in (step.error, spent(step.usage)) if part)
    return TraceLine(depth, f"{name}{times}", "error" if step.error else "step", period, more)


def _wait(wait: Wait, depth: int) -> TraceLine:
    why = wait.why if wait.why.startswith("to be") else f"for {wait.why}"
    return TraceLine(depth, f"waits {why}", "wait", wait.period)


def _before(wait: Wait, attempt: Attempt) -> bool:
    return bool(wait.period.began and attempt.period.began and wait.period.began < attempt.period.began)


def _style(attempt: Attempt) -> Style:
    return "error" if attempt.state == "failed" else "work"


def _more(attempt: Attempt) -> str:
    return ", ".join(
        part for part in (attempt.error, "" if attempt.state != "begun" else "begun", spent(attempt.usage)) if part
    )


def spent(usage: Usage) -> str:
    """What was read and written, and what it cost."""
    tokens = f"{usage.input_tokens:,}+{usage.output_tokens:,} tok" if usage.input_tokens or usage.output_tokens else ""
    cost = dollars(usage.cost_usd) if usage.cost_usd else ""
    return ", ".join(part for part in (tokens, cost) if part)


def _at(period: Period) -> float:
    at = period.began or period.ended
    return at.timestamp() if at else 0.0
