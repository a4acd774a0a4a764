"""A run's story, whatever is there of its log, its steps and its spans."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from stretto.bus import conventions as c
from stretto.bus.step import Step
from stretto.bus.subjects import RunKey
from stretto.bus.tracing import root_of, trace_of
from stretto.cli.trace_scale import scale_of
from stretto.cli.trace_view import story_text
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.shared.contracts.usage import Usage
from stretto.timeline.build import build
from stretto.timeline.export import export
from stretto.timeline.recorded_span import RecordedSpan, spans_in
from stretto.timeline.recorded_step import RecordedStep
from stretto.timeline.story import Attempt, Period, Sitting, Story, Task, Wait
from tests.unit.supervisor_world import Agents, World, at, dice, plans, question

KEY = RunKey(0, "acme", "r1")
ROOT = root_of(KEY.tenant, KEY.run)
TWO = Plan(
    playbook="two",
    reason="named in the request",
    tasks=(
        PlannedTask(id="look", role="researcher", max_attempts=2),
        PlannedTask(id="write", role="writer", inputs={"parts": ("look",)}),
    ),
    answer="write",
)
DONE = Answer(state="completed", answered=True, text="42", playbook="two", usage=Usage(model_calls=2))


def result(task: str, attempt: int = 1, *, failure: str = "", seconds: float = 0.5) -> TaskResult:
    role = "researcher" if task == "look" else "writer"
    return TaskResult(
        task=task,
        attempt=attempt,
        role=role,
        agent=f"{role}-1",
        output=None if failure else {"text": "x"},
        failure=TaskFailure(kind="retryable", error=failure, message="try again") if failure else None,
        seconds=seconds,
        usage=Usage(model_calls=1, input_tokens=100, output_tokens=20),
    )


def two(*, failed_once: bool = False) -> World:
    """A run of two tasks that is over."""
    world = World.with_plan(TWO)
    if failed_once:
        world.record(result("look", 1, failure="Busy"))
        world.fire("retry-look-2")
    world.record(result("look", 2 if failed_once else 1))
    world.record(result("write"))
    world.answer(DONE)
    return world


def step(
    task: str = "look", attempt: int = 1, *, after_s: float, model: str = "openai:gpt", **more: Any
) -> RecordedStep:
    output: dict[str, Any] = {"output": {}, "model": model, "usage": {"input_tokens": 100, "output_tokens": 20}, **more}
    role = "researcher" if task == "look" else "writer"
    return RecordedStep(
        (role, task, attempt),
        moment(after_s),
        f"{role}-1",
        Step(position=0, kind="model", name="Draft", digest="d", output=output),
    )


def moment(after_s: float) -> datetime:
    return at(0) + timedelta(seconds=after_s)


def span(
    name: str, begin_s: float, end_s: float, *, number: int, parent: str = "", failed: bool = False, **more: Any
) -> RecordedSpan:
    attributes = {getattr(c, key): value for key, value in more.items()}
    return RecordedSpan(
        id=f"{number:016x}",
        parent=parent,
        name=name,
        service="stretto-writer",
        began=moment(begin_s),
        ended=moment(end_s),
        attributes=attributes,
        events={},
        failed=failed,
    )


def work(task: str, begin_s: float, end_s: float, *, number: int, attempt: int = 1, **more: Any) -> RecordedSpan:
    agent = f"{task}-{number}"
    about = {"GEN_AI_OPERATION": "invoke_agent", "GEN_AI_AGENT_ID": agent, "TASK": task, "ATTEMPT": attempt, **more}
    return span(f"invoke_agent {task}", begin_s, end_s, number=number, **about)


def chat(task: str, begin_s: float, end_s: float, *, number: int, model: str = "gpt", **more: Any) -> RecordedSpan:
    about = {"GEN_AI_OPERATION": "chat", "GEN_AI_REQUEST_MODEL": model, "TASK": task, "ATTEMPT": 1, **more}
    return span(f"chat {model}", begin_s, end_s, number=number, **about)


def told(world: World, steps: Sequence[RecordedStep] = (), spans: Sequence[RecordedSpan] = ()) -> Story:
    story = build(KEY, world.log, steps, spans)
    assert story is not None
    return story


def task_of(story: Story, name: str) -> Task:
    return next(one for one in story.tasks if one.id == name)


def attempt_of(story: Story, name: str, number: int = 1) -> Attempt:
    return task_of(story, name).attempts[number - 1]


def waits_of(story: Story) -> list[str]:
    return [one.why for task in story.tasks for one in (*task.waits, *(w for a in task.attempts for w in a.waits))]


# From the log alone


def test_a_log_alone_is_the_whole_story_and_says_that_spans_are_missing() -> None:
    story = told(two(), [step(after_s=2.9)])
    assert (story.state, story.text, story.playbook, story.answer) == ("completed", "what?", "two", "42")
    assert story.period.began == at(1)
    assert story.period.ended == at(5)
    assert [(one.id, one.state, len(one.attempts)) for one in story.tasks] == [
        ("look", "succeeded", 1),
        ("write", "succeeded", 1),
    ]
    look = attempt_of(story, "look")
    assert (look.period.ended, look.period.seconds, look.period.exact) == (at(3), 0.5, False)
    assert [(one.kind, one.name, one.usage.input_tokens) for one in look.steps] == [("model", "openai:gpt", 100)]
    assert story.missing.startswith("there are no spans of this run")


def test_nobody_asked_nothing_is_told() -> None:
    assert build(KEY, [], []) is None


@given(plans(), st.integers(0, 2**32), st.integers(0, 2**32), st.integers(0, 200))
def test_every_beginning_of_a_log_has_a_story(plan: Plan, seed: int, order: int, cut: int) -> None:
    world = World.with_plan(plan)
    world.answer(world.finish(Agents(seed), dice(order)))
    facts = world.log[: cut + 1]
    story = build(KEY, facts, [])
    assert story is not None
    assert {one.id for one in story.tasks} <= {one.id for one in world.state.tasks}
    results = [fact for fact in facts if isinstance(getattr(fact, "result", None), TaskResult)]
    assert sum(one.state != "begun" for task in story.tasks for one in task.attempts) <= len(results)
    json.dumps(story.data())
    assert "\x1b" not in story_text(story, width=80, now=at(999)).plain


@given(plans(), st.integers(0, 2**32), st.integers(0, 2**32))
def test_the_whole_log_tells_every_attempt_once(plan: Plan, seed: int, order: int) -> None:
    world = World.with_plan(plan)
    answer = world.finish(Agents(seed), dice(order))
    story = told(world)
    told_attempts = {(task.id, one.number) for task in story.tasks for one in task.attempts if one.state != "begun"}
    in_plan = {one.id for one in world.state.tasks}
    assert told_attempts == {(one.task, one.attempt) for one in world.results() if one.task in in_plan}
    assert answer.state in {"completed", "failed"}


# Waits


def test_waits_are_named_for_what_they_wait_for() -> None:
    story = told(two(failed_once=True))
    assert waits_of(story).count("look") == 1  # what `write` needs
    assert "to be tried again (Busy)" in waits_of(story)
    first, second = task_of(story, "look").attempts
    assert (first.state, first.error, second.state) == ("failed", "Busy", "succeeded")


def test_a_wait_for_a_person_says_who_decided_what_and_how_long_it_took() -> None:
    world = World.with_plan(TWO)
    world.put(question("look", 1, "researcher", 0, kind="approval"))
    (wait,) = [one for one in attempt_of(told(world), "look").waits if "person" in one.why]
    assert (wait.why, wait.period.ended) == ("a person: approval q-look-1-0", None)
    assert task_of(told(world), "look").state == "parked"

    world.command(Command(verb="approve", question="q-look-1-0"), principal="bob")
    (wait,) = [one for one in attempt_of(told(world), "look").waits if "person" in one.why]
    assert (wait.why, wait.period.seconds) == ("a person: approval q-look-1-0, approved by bob", 1.0)


# With spans


def test_spans_give_the_times_and_hide_nothing_of_the_log() -> None:
    spans = [
        work("look", 2.1, 2.9, number=1),
        chat("look", 2.2, 2.4, number=2, model="big", ERROR_TYPE="Overloaded"),
        chat("look", 2.4, 2.8, number=3, GEN_AI_INPUT_TOKENS=100, GEN_AI_OUTPUT_TOKENS=20),
        work("write", 3.1, 3.9, number=4),
        span("invoke_workflow two", 1, 5, number=5, GEN_AI_OPERATION="invoke_workflow"),
    ]
    hops = [{"model": "openai:big", "reason": "Overloaded"}]
    story = told(two(), [step(after_s=2.85, hops=hops)], spans)
    look = attempt_of(story, "look")
    assert (look.period.began, look.period.ended, look.period.exact) == (moment(2.1), moment(2.9), True)
    assert [(one.name, one.error, one.recorded, one.period.exact) for one in look.steps] == [
        ("big", "Overloaded", False, True),
        ("openai:gpt", "", True, True),
    ]
    assert [one.model for one in look.steps[1].hops] == ["openai:big"]
    assert story.missing == ""
    assert story.usage == DONE.usage


def test_before_the_last_span_has_come_it_says_so() -> None:
    spans = [work("look", 2.1, 2.9, number=1), work("write", 3.1, 3.9, number=4)]
    assert told(two(), [], spans).missing.startswith("the last spans are not there")


def test_after_a_kill_the_deliveries_are_siblings_and_a_replayed_step_is_told_once() -> None:
    killed = chat("look", 2.2, 2.4, number=3)  # its parents were never told
    second = work("look", 2.6, 2.9, number=1)
    second.events[c.REPLAYED_STEPS] = {c.REPLAYED_STEPS: 1}  # type: ignore[index]  # a dictionary, here
    story = told(two(), [step(after_s=2.45)], [killed, second])
    look = attempt_of(story, "look")
    assert [one.replayed for one in look.sittings] == [1]
    (replayed,) = look.steps
    assert (replayed.name, replayed.recorded) == ("openai:gpt", True)
    assert replayed.period.seconds == pytest.approx(0.2)
    assert "no spans tell of write" in story.missing


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, "many", 2**200, True])
def test_spans_by_hand_may_say_anything(value: Any) -> None:
    spans = [
        work("look", 2.1, 2.9, number=1, ATTEMPT=value),
        chat("look", 2.2, 2.4, number=2, GEN_AI_INPUT_TOKENS=value, GEN_AI_OUTPUT_TOKENS=value, COST_USD=value),
    ]
    spans[0].events[c.RATE_LIMITED] = {c.RATE_LIMITED_S: value}  # type: ignore[index]  # as above
    assert [one.id for one in told(two(), [], spans).tasks] == ["look", "write"]


# For other viewers


def exported(story: Story, batches: Sequence[bytes] = ()) -> list[dict[str, Any]]:
    found = export(story, batches).json
    assert isinstance(found, Mapping)
    return list(_spans(found))


def _spans(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for of_resource in found["resourceSpans"]:
        for of_scope in of_resource["scopeSpans"]:
            yield from of_scope["spans"]


def test_a_run_without_spans_is_exported_from_its_log_and_says_so() -> None:
    spans = exported(told(two(failed_once=True), [step(attempt=2, after_s=4.9)]))
    assert [one["name"] for one in spans] == [
        "invoke_workflow two",
        *("invoke_agent researcher", "invoke_agent researcher", "chat gpt", "invoke_agent writer"),
    ]
    ids = {one["spanId"] for one in spans}
    assert len(ids) == len(spans)
    assert {one["traceId"] for one in spans} == {trace_of("acme", "r1")}
    root, *others = spans
    assert (root["spanId"], root.get("parentSpanId", "")) == (f"{ROOT.span_id:016x}", "")
    assert all(one["parentSpanId"] in ids for one in others)
    assert [one.get("status", {}).get("code") for one in spans] == [None, 2, None, None, None]
    assert all({"key": c.FROM_LOG, "value": {"boolValue": True}} in one["attributes"] for one in spans)
    assert all(int(one["startTimeUnixNano"]) <= int(one["endTimeUnixNano"]) for one in spans)


def test_what_was_told_is_exported_as_it_was_told_and_only_once() -> None:
    batch = ExportTraceServiceRequest()
    of_scope = batch.resource_spans.add().scope_spans.add()
    for trace, number in ((trace_of("acme", "r1"), 7), (trace_of("rival", "r1"), 8)):
        one = of_scope.spans.add(trace_id=bytes.fromhex(trace), span_id=bytes([number] * 8), name=f"s{number}")
        one.parent_span_id = bytes([9] * 8)
        one.status.code = Status.STATUS_CODE_ERROR
    data = batch.SerializeToString()
    assert [one.name for one in spans_in(data, trace_of("acme", "r1"))] == ["s7"]

    spans = exported(told(two()), [data, data, data[:-3], b"\xff" + bytes.fromhex(trace_of("acme", "r1"))])
    (kept,) = [one for one in spans if one["name"].startswith("s")]
    assert (kept["spanId"], kept["parentSpanId"], kept["status"]["code"]) == ("07" * 8, "09" * 8, 2)


# As people see it


def test_it_fits_eighty_columns() -> None:
    spans = [work("look", 2.1, 2.9, number=1), chat("look", 2.2, 2.8, number=2), work("write", 3.1, 3.9, number=4)]
    text = story_text(told(two(), [step(after_s=2.85)], spans), width=80, ascii_only=True)
    lines = text.plain.split("\n")
    assert max(map(len, lines)) <= 80
    assert lines[1] == "ada asks: what?"
    assert lines[2].split() == ["0", "4.00", "s"]
    shown = "\n".join(lines)
    assert "look (researcher)" in shown
    assert "model openai:gpt  100+20 tok" in shown
    assert "waits for look" in shown
    assert "2 tasks, 2 attempts, 2 calls of models, 0 of tools" in shown


def test_a_wait_of_days_does_not_flatten_the_rest() -> None:
    began, days = at(0), timedelta(days=3)
    sittings = [
        Sitting("a", Period(began + timedelta(seconds=one), began + timedelta(seconds=one + 4))) for one in (1, 259_205)
    ]
    waited = Wait("a person: approval q-1, approved by bob", Period(began + timedelta(seconds=5), began + days))
    attempt = Attempt(1, "succeeded", "a", Period(began, began + days), (waited,), sittings=tuple(sittings))
    whole = Period(began, began + days + timedelta(seconds=10))
    planning = Period(began, began + timedelta(seconds=1))
    story = Story(
        "r1",
        "acme",
        "0" * 32,
        "ada",
        "what?",
        "completed",
        whole,
        planning,
        tasks=(Task("t", "r", "succeeded", (), (attempt,)),),
    )
    scale = scale_of(story, began + days + timedelta(seconds=10), 40)
    assert scale.cut_s == pytest.approx(days.total_seconds(), rel=0.001)
    places = [scale.place(began + timedelta(seconds=one)) for one in (0, 5, 259_205, 259_210)]
    assert places == sorted(places)
    assert places[-1] == pytest.approx(40)
    assert places[1] > 8
    assert places[2] - places[1] == pytest.approx(2)
    assert "without 3 d of waiting" in story_text(story, width=80).plain


def test_texts_of_others_do_not_speak_to_the_terminal() -> None:
    world = World()
    world.ask()
    story = told(world)
    assert "goes on" in story_text(story, width=80, now=at(9)).plain
    loud = Story(**{**{name: getattr(story, name) for name in Story.__slots__}, "text": "a\x1b[2Jb"})
    assert "\x1b" not in story_text(loud, width=80, now=at(9)).plain


def test_on_a_small_screen_the_latest_lines_are_shown() -> None:
    story = told(two(failed_once=True))
    lines = story_text(story, width=80, height=10).plain.split("\n")
    assert len(lines) <= 10
    assert any("lines before" in one for one in lines)
