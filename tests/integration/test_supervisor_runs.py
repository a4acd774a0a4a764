"""What becomes of runs, with real supervisors and agents on a real server."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.agents.errors import TaskPermanent, TaskRetryable
from stretto.bus.client import LiveMessage, RunMessage
from stretto.bus.codec import decode, encode
from stretto.bus.dead_letters import DeadLetter
from stretto.bus.envelope import Envelope, new_id, open_envelope
from stretto.bus.streams import SUPERVISORS, Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.review import Review, ReviewNote
from stretto.supervisor.decide import Limits
from tests.integration.world import Given, Made, World, agent_of, open_world

TWO_AND_ONE = """
roles: {collect: collects, compose: composes}
tasks:
  - {id: left, role: collect, with: {side: left}}
  - {id: right, role: collect, with: {side: right}}
  - {id: text, role: compose, inputs: {parts: [left, right]}}
answer: text
"""

REVISED = """
roles: {compose: composes, check: checks}
tasks:
  - {id: text, role: compose}
  - {id: verdict, role: check, inputs: {draft: text}, revision: {task: text, at_most: 2, then: person}}
  - {id: person, role: escalation}
answer: text
"""


@pytest.fixture
def deployment(prefix: str) -> Deployment:
    return Deployment(subjects=Subjects(prefix), shards=2, run_lease_s=3.0, pin_s=1.5, task_lease_s=2.0)


@pytest.fixture
async def world(nats_url: str, deployment: Deployment, tmp_path: Path) -> AsyncGenerator[World]:
    async with open_world(nats_url, deployment, tmp_path, limits=Limits(run_deadline_s=60, role_wait_s=1.0)) as world:
        world.playbook("two", TWO_AND_ONE)
        world.playbook("revised", REVISED)
        yield world


async def collect(task: Given, ctx: TaskContext) -> BaseModel:
    return Made(text=f"{task.model_extra['side']} of {task.request}" if task.model_extra else "")


async def compose(task: Given, ctx: TaskContext) -> BaseModel:
    parts = (task.model_extra or {}).get("parts", [])
    return Made(text=" and ".join(part["text"] for part in parts) or "draft")


async def test_a_plan_is_carried_out_and_merged(world: World) -> None:
    await world.supervise("s1")
    await world.serve(agent_of("collect", collect), "c1")
    await world.serve(agent_of("compose", compose), "w1")
    answer = await world.ask("it", playbook="two")
    assert answer.state == "completed", answer.reason
    assert answer.text == "left of it and right of it"
    assert {(task.task, task.agent, task.state) for task in answer.tasks} == {
        ("left", "c1", "succeeded"),
        ("right", "c1", "succeeded"),
        ("text", "w1", "succeeded"),
    }


async def test_siblings_run_side_by_side_and_a_task_waits_only_for_its_own_inputs(world: World) -> None:
    both_there = asyncio.Barrier(2)

    async def meet(task: Given, ctx: TaskContext) -> BaseModel:
        async with asyncio.timeout(20):
            await both_there.wait()  # passes only if the other one runs at the same time
        return await collect(task, ctx)

    await world.supervise("s1")
    await world.serve(agent_of("collect", meet), "c1")
    await world.serve(agent_of("compose", compose), "w1")
    assert (await world.ask("it", playbook="two")).state == "completed"


async def test_the_same_run_id_is_one_run(world: World) -> None:
    await world.supervise("s1")
    await world.serve(agent_of("collect", collect), "c1")
    await world.serve(agent_of("compose", compose), "w1")
    run = new_id()
    answers = await asyncio.gather(*(world.ask("it", run=run, playbook="two") for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    kinds = [fact.subject.kind for fact in await world.client.log(run)]
    assert kinds.count("request") == 1
    assert kinds.count("answer") == 1


async def test_a_request_that_is_stored_twice_is_one_run_and_done_with(world: World) -> None:
    await world.supervise("s1")
    await world.serve(agent_of("collect", collect), "c1")
    await world.serve(agent_of("compose", compose), "w1")
    subjects, jetstream = world.deployment.subjects, world.connection.jetstream
    answer = await world.ask("why?", run="r1", playbook="two")
    key = world.client.key("r1")
    stream = subjects.runs_stream(key.shard)
    first = await jetstream.last(stream, subjects.any_request(key))
    assert first is not None
    again = await jetstream.store(first.subject, first.data)
    async with asyncio.timeout(10):
        while True:
            consumer = await jetstream.api(f"CONSUMER.INFO.{stream}.{SUPERVISORS}")
            if consumer["ack_floor"]["stream_seq"] >= again:
                break
    assert await world.answer("r1") == answer


async def test_events_tell_the_run_from_request_to_answer(world: World) -> None:
    await world.supervise("s1")
    await world.serve(agent_of("collect", collect), "c1")
    await world.serve(agent_of("compose", compose), "w1")
    run = await world.client.submit(Request(text="it", playbook="two"))
    async with asyncio.timeout(30):
        events = [event async for event in world.client.events(run)]
    kinds = [event.subject.kind for event in events if isinstance(event, RunMessage)]
    assert kinds == ["request", "decision", "result", "result", "result", "answer"]


async def test_a_retryable_failure_is_tried_again_and_a_permanent_one_ends_the_run(world: World) -> None:
    tries: list[int] = []

    async def twice(task: Given, ctx: TaskContext) -> BaseModel:
        if (task.model_extra or {})["side"] == "left":
            tries.append(ctx.key.attempt)
            if ctx.key.attempt == 1:
                raise TaskRetryable("the first time never works")
        return await collect(task, ctx)

    async def never(task: Given, ctx: TaskContext) -> BaseModel:
        raise TaskPermanent("it cannot be composed")

    await world.supervise("s1")
    await world.serve(agent_of("collect", twice), "c1")
    await world.serve(agent_of("compose", never), "w1")
    answer = await world.ask("it", playbook="two")
    assert tries == [1, 2]
    assert answer.state == "failed"
    assert "it cannot be composed" in answer.reason
    assert "text" in answer.reason


async def test_a_reviewer_sends_the_draft_back_until_a_person_is_needed(world: World) -> None:
    seen: list[object] = []

    async def draft(task: Given, ctx: TaskContext) -> BaseModel:
        seen.append((task.model_extra or {}).get("notes"))
        return Made(text=f"draft {len(seen)}")

    async def check(task: Given, ctx: TaskContext) -> BaseModel:
        note = ReviewNote(rule="style", problem="too short")
        return Review(verdict="revise", reasons="no", notes=(note,))

    async def hand(task: Given, ctx: TaskContext) -> BaseModel:
        return Escalation(question="Publish it?", summary="It is too short.")

    await world.supervise("s1")
    await world.serve(agent_of("compose", draft), "w1")
    await world.serve(agent_of("check", check, Review), "r1")
    await world.serve(agent_of("escalation", hand, Escalation), "e1")
    answer = await world.ask("it", playbook="revised")
    assert answer.state == "failed", answer
    assert answer.escalation is not None
    assert answer.escalation.question == "Publish it?"
    assert len(seen) == 3, "the first draft and two revisions"
    assert seen[0] is None
    assert seen[1] is not None


async def test_an_approved_draft_is_the_answer_at_once(world: World) -> None:
    async def check(task: Given, ctx: TaskContext) -> BaseModel:
        return Review(verdict="approve", confidence=0.9)

    await world.supervise("s1")
    await world.serve(agent_of("compose", compose), "w1")
    await world.serve(agent_of("check", check, Review), "r1")
    answer = await world.ask("it", playbook="revised")
    assert (answer.state, answer.text) == ("completed", "draft")
    assert answer.review is not None
    assert answer.review.verdict == "approve"


async def test_a_role_that_nobody_serves_is_waited_for_visibly_then_the_run_fails(world: World) -> None:
    await world.supervise("s1")
    run = await world.client.submit(Request(text="it", playbook="two"))
    waiting: list[str] = []
    async with asyncio.timeout(30):
        async for event in world.client.events(run):
            if isinstance(event, LiveMessage):
                progress = open_envelope(event.envelope, Progress)
                waiting.append(f"{progress.kind} {progress.role}")
    answer = await world.answer(run)
    assert answer.state == "failed"
    assert "collect" in answer.reason
    assert "stretto agent run collect" in answer.reason
    assert "waiting collect" in waiting


async def test_cancelling_ends_the_run_and_late_results_change_nothing(world: World) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(task: Given, ctx: TaskContext) -> BaseModel:
        begun.set()
        await go_on.wait()
        return await collect(task, ctx)

    await world.supervise("s1")
    await world.serve(agent_of("collect", slow), "c1")
    run = await world.client.submit(Request(text="it", playbook="two"))
    async with asyncio.timeout(20):
        await begun.wait()
    await world.client.command(run, Command(verb="cancel", reason="not needed any more"))
    answer = await world.answer(run)
    assert answer.state == "cancelled"
    assert "not needed any more" in answer.reason
    go_on.set()
    async with asyncio.timeout(20):
        while [fact.subject.kind for fact in await world.client.log(run)].count("result") < 2:
            await asyncio.wait([asyncio.ensure_future(world.client.exists(run))])
    assert await world.answer(run) == answer


async def test_a_run_ends_at_its_deadline(world: World) -> None:
    async def never(task: Given, ctx: TaskContext) -> BaseModel:
        await asyncio.Event().wait()
        raise AssertionError

    await world.supervise("s1")
    await world.serve(agent_of("collect", never), "c1")
    answer = await world.ask("it", playbook="two", deadline_s=1.5)
    assert answer.state == "failed"
    assert "1.5 s" in answer.reason


async def test_an_unknown_playbook_is_rejected_with_the_names_there_are(world: World) -> None:
    await world.supervise("s1")
    answer = await world.ask("it", playbook="nope")
    assert answer.state == "rejected"
    assert "brief" in answer.reason


async def test_a_request_in_json_by_hand_is_answered(world: World) -> None:
    await world.supervise("s1")
    await world.serve(agent_of("collect", collect), "c1")
    await world.serve(agent_of("compose", compose), "w1")
    run = new_id()
    key = world.client.key(run)
    body = {"type": "request", "body": {"text": "it", "playbook": "two"}}
    await world.connection.jetstream.store(
        world.deployment.subjects.request(key, "local"), json.dumps(body).encode(), expect=0
    )
    assert (await world.answer(run)).state == "completed"


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"\xc1\xff junk", "not readable"),
        (b'{"type": "request", "body": {"text": ""}}', "text"),
        (b'{"type": "request", "body": {"text": "x"}, "tenant": "other"}', "tenant"),
        (b'{"type": "request", "body": {"text": "x"}, "sender": "root"}', "sender"),
        (b'{"type": "request", "version": "2.0", "body": {"text": "x"}}', "version"),
        (b'{"type": "invoice", "body": {}}', "type"),
    ],
)
async def test_a_request_that_cannot_be_read_is_rejected_and_kept_as_a_dead_letter(
    world: World, data: bytes, part: str
) -> None:
    await world.supervise("s1")
    run = new_id()
    subjects = world.deployment.subjects
    subject = subjects.request(world.client.key(run), "local")
    await _when_provisioned(world)
    await world.connection.jetstream.store(subject, data, expect=0)
    answer = await world.answer(run)
    assert answer.state == "rejected"
    assert part in answer.reason
    (dead,) = await world.connection.jetstream.read(subjects.stream("DEAD"), subjects.any_dead(subject))
    letter = open_envelope(decode(dead.data), DeadLetter)
    assert letter.data == data
    assert letter.origin == subject


async def test_junk_on_a_runs_subjects_harms_nobody(world: World) -> None:
    await world.supervise("s1")
    await world.serve(agent_of("collect", collect), "c1")
    await world.serve(agent_of("compose", compose), "w1")
    await _when_provisioned(world)
    run = new_id()
    key = world.client.key(run)
    place = world.deployment.subjects.run(key)
    forged = Envelope.of(Command(verb="cancel"), tenant="default", run="another", sender="local")
    await world.connection.jetstream.store(f"{place}.result.collect.left.1", b"junk")
    await world.connection.jetstream.store(f"{place}.command.local.c1", encode(forged))
    await world.connection.jetstream.store(f"{place}.timer.deadline", b"{}")
    assert (await world.ask("it", run=run, playbook="two")).text == "left of it and right of it"


async def _when_provisioned(world: World) -> None:
    """Wait until the supervisor has made the streams: a write to them succeeds."""
    async with asyncio.timeout(20):
        while True:
            info = await world.connection.jetstream.api(f"STREAM.INFO.{world.deployment.subjects.stream('DEAD')}")
            if "error" not in info:
                return
