"""The trace of a run: one connected tree that tells truly what happened, with real supervisors and agents on a real server."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.agents.errors import TaskPermanent, TaskRetryable
from stretto.bus import conventions as c
from stretto.bus import tracing
from stretto.bus.codec import encode
from stretto.bus.envelope import Envelope
from stretto.bus.run_log import RunLog
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.request import Request
from tests.integration.world import Given, Made, World, agent_of, eventually, open_world
from tests.spans import Recorded, attributes_of, recording, texts_of

TWO = """
roles: {collect: collects, compose: composes}
tasks:
  - {id: part, role: collect}
  - {id: text, role: compose, inputs: {parts: [part]}}
answer: text
"""
ONE = """
roles: {work: works}
tasks:
  - {id: only, role: work}
answer: only
"""
TASK = "process task.{role}"
FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording() as recorded:
        yield recorded


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    deployment = Deployment(subjects=Subjects(prefix), shards=1, run_lease_s=3.0, pin_s=1.5, task_lease_s=2.0)
    async with open_world(nats_url, deployment, tmp_path) as world:
        for name, text in (("two", TWO), ("one", ONE)):
            world.playbook(name, text)
        await world.supervise("s1")
        yield world


class Tree:
    """The spans of one run."""

    def __init__(self, recorded: Recorded, world: World, run: str) -> None:
        self.root_id = tracing.root_of("default", run).span_id
        self._prefix = f"{world.subjects.prefix}."
        of_run = [one for one in recorded.spans if one.context.trace_id == tracing.root_of("default", run).trace_id]
        self.spans = {one.context.span_id: one for one in of_run}

    def name(self, span: ReadableSpan) -> str:
        """Without the deployment's prefix."""
        return span.name.replace(self._prefix, "")

    def named(self, name: str) -> list[ReadableSpan]:
        """In the order in which they began."""
        found = [one for one in self.spans.values() if self.name(one) == name]
        return sorted(found, key=lambda one: one.start_time or 0)

    def one(self, name: str) -> ReadableSpan:
        (found,) = self.named(name)
        return found

    def edges(self) -> Counter[tuple[str, str]]:
        """Parents and children by name; a span whose parent is missing fails."""
        return Counter(
            (self.name(self.spans[one.parent.span_id]), self.name(one)) for one in self.spans.values() if one.parent
        )

    def children(self, span: ReadableSpan) -> list[str]:
        below = [one for one in self.spans.values() if one.parent and one.parent.span_id == span.context.span_id]
        return [self.name(one) for one in sorted(below, key=lambda one: one.start_time or 0)]


async def tree_of(recorded: Recorded, world: World, run: str, *, handled: int = 1) -> Tree:
    """The tree when the supervisor has nothing in hand any more, tasks were handled so often, and no parent is still to come: whoever waits
    for the answer has it earlier."""

    async def complete() -> bool:
        held = await world.unacknowledged()
        tree = Tree(recorded, world, run)
        whole = all(one.parent is None or one.parent.span_id in tree.spans for one in tree.spans.values())
        return whole and tree.root_id in tree.spans and len(tree.named(TASK)) == handled and not held

    await eventually(complete)
    return Tree(recorded, world, run)


def nanos(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000


async def make(task: Given, ctx: TaskContext) -> BaseModel:
    return Made(text="made")


async def test_a_plan_is_one_connected_tree(world: World, recorded: Recorded) -> None:
    await world.serve(agent_of("collect", make), "c1")
    await world.serve(agent_of("compose", make), "w1")
    run = await world.client.submit(Request(text="secret?", playbook="two"))
    await world.answer(run)
    tree = await tree_of(recorded, world, run, handled=2)
    handled, result = "process run.{run}.request", "process run.{run}.result"
    assert tree.edges() == {
        ("invoke_workflow two", "send run.{run}.request"): 1,
        ("send run.{run}.request", handled): 1,
        (handled, "plan supervisor"): 1,
        (handled, "send run.{run}.decision"): 1,
        (handled, "send task.{role}"): 1,
        ("send task.{role}", "process task.{role}"): 2,
        (TASK, "invoke_agent collect"): 1,
        (TASK, "invoke_agent compose"): 1,
        (TASK, "send run.{run}.result"): 2,
        ("send run.{run}.result", result): 2,
        (result, "send task.{role}"): 1,
        (result, "send run.{run}.answer"): 1,
    }
    root = tree.one("invoke_workflow two")
    log = await world.client.log(run)
    assert root.parent is None
    assert root.start_time == nanos(log[0].at)
    said = attributes_of(root)
    assert (said[c.RUN], said[c.TENANT], said[c.RUN_STATE]) == (run, "default", "completed")
    assert all(one.status.status_code is StatusCode.UNSET for one in tree.spans.values())
    ids = {one.envelope.id for one in log}
    assert {attributes_of(one)[c.MESSAGING_MESSAGE_ID] for one in tree.named("send run.{run}.result")} < ids
    for sent, process in (
        *zip(tree.named("send run.{run}.request"), tree.named(handled), strict=True),
        *zip(tree.named("send run.{run}.result"), tree.named(result), strict=True),
        *zip(tree.named("send task.{role}"), tree.named(TASK), strict=True),
    ):
        assert attributes_of(sent)[c.MESSAGING_MESSAGE_ID] == attributes_of(process)[c.MESSAGING_MESSAGE_ID]
        assert attributes_of(process)[c.MESSAGING_DELIVERY] == 1
        assert attributes_of(process)[c.MESSAGING_CONVERSATION_ID] == run
    for sent in (*tree.named("send task.{role}"), *tree.named(TASK)):
        said = attributes_of(sent)
        assert (said[c.ROLE], said[c.TASK], said[c.ATTEMPT]) in {("collect", "part", 1), ("compose", "text", 1)}
    groups = {attributes_of(one)[c.MESSAGING_CONSUMER_GROUP] for one in tree.named(TASK)}
    assert groups == {f"{world.subjects.prefix}-agents"}
    assert not any("secret" in texts_of(one) for one in tree.spans.values())


async def test_a_task_that_comes_again_has_a_sibling_which_tells_what_was_done_before(
    world: World, recorded: Recorded
) -> None:
    begun = asyncio.Event()

    async def lookup() -> str:
        return "found"

    async def work(task: Given, ctx: TaskContext) -> BaseModel:
        text = await ctx.step("look", None, lookup)
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        return Made(text=str(text))

    first = await world.serve(agent_of("work", work), "w1")
    run = await world.client.submit(Request(text="?", playbook="one"))
    await begun.wait()
    first.cancel()
    await asyncio.wait([first])
    await world.serve(agent_of("work", work), "w2")
    assert (await world.answer(run)).text == "found"
    tree = await tree_of(recorded, world, run, handled=2)
    once, again = tree.named(TASK)
    assert once.parent == again.parent
    assert [attributes_of(one)[c.MESSAGING_DELIVERY] for one in (once, again)] == [1, 2]
    cut_off, done = tree.named("invoke_agent work")
    assert attributes_of(cut_off)[c.ENDED] == "shut_down"
    assert c.ENDED not in attributes_of(done)
    assert not cut_off.events
    assert not done.links, "it is no resumption"
    assert [(one.name, dict(one.attributes or {})) for one in done.events] == [
        (c.REPLAYED_STEPS, {c.REPLAYED_STEPS: 1})
    ]
    assert all(one.status.status_code is StatusCode.UNSET for one in tree.spans.values())


async def test_a_task_that_waits_for_a_person_ends_and_its_resumption_links_back(
    world: World, recorded: Recorded
) -> None:
    async def kept() -> None:
        pass

    async def work(task: Given, ctx: TaskContext) -> BaseModel:
        answer = await ctx.ask_human("Which one?")
        await ctx.step("keep", None, kept)
        return Made(text=answer.text)

    await world.serve(agent_of("work", work), "w1")
    run = await world.client.submit(Request(text="?", playbook="one"))
    (question,) = await world.asked(run)
    await world.parked()
    await world.settle(run, question, "answer", "the secret one")
    assert (await world.answer(run)).text == "the secret one"
    tree = await tree_of(recorded, world, run, handled=2)
    parked, resumed = tree.named("invoke_agent work")
    assert attributes_of(parked)[c.ENDED] == "parked"
    assert c.ENDED not in attributes_of(resumed)
    assert parked.parent != resumed.parent
    (link,) = resumed.links
    assert (link.context.span_id, dict(link.attributes or {})) == (parked.context.span_id, {c.LINK: "resume"})
    assert len(tree.named("send run.{run}.question")) == 1
    wait = tree.one("wait_for_human question")
    log = await world.client.log(run)
    (asked,) = [one for one in log if one.subject.kind == "question"]
    (settled,) = [one for one in log if one.subject.kind == "command"]
    assert wait.parent is not None
    assert wait.parent.span_id == tree.root_id
    assert (wait.start_time, wait.end_time) == (nanos(asked.at), nanos(settled.at))
    assert (attributes_of(wait)[c.QUESTION], attributes_of(wait)[c.OUTCOME]) == (question.id, "answered")
    assert all(one.status.status_code is StatusCode.UNSET for one in tree.spans.values())
    assert not any("secret" in texts_of(one) for one in tree.spans.values())


async def test_only_the_attempt_that_failed_has_an_error_and_its_timer_carries_the_trace(
    world: World, recorded: Recorded
) -> None:
    async def work(task: Given, ctx: TaskContext) -> BaseModel:
        if ctx.key.attempt == 1:
            raise TaskRetryable("secret")
        return Made(text="done")

    await world.serve(agent_of("work", work), "w1")
    run = await world.client.submit(Request(text="?", playbook="one"))
    assert (await world.answer(run)).state == "completed"
    tree = await tree_of(recorded, world, run, handled=2)
    failed, done = tree.named("invoke_agent work")
    assert (failed.status.status_code, attributes_of(failed)[c.ERROR_TYPE]) == (StatusCode.ERROR, "TaskRetryable")
    assert (attributes_of(failed)[c.ATTEMPT], attributes_of(done)[c.ATTEMPT]) == (1, 2)
    assert [one for one in tree.spans.values() if one.status.status_code is StatusCode.ERROR] == [failed]
    fired = tree.one("process run.{run}.timer")
    assert tree.name(tree.spans[fired.parent.span_id if fired.parent else 0]) == "send run.{run}.schedule"
    assert "send task.{role}" in tree.children(fired)
    assert not any("secret" in texts_of(one) for one in tree.spans.values())


async def test_a_run_that_fails_says_so_in_its_root(world: World, recorded: Recorded) -> None:
    async def work(task: Given, ctx: TaskContext) -> BaseModel:
        raise TaskPermanent("secret")

    await world.serve(agent_of("work", work), "w1")
    run = await world.client.submit(Request(text="?", playbook="one"))
    assert (await world.answer(run)).state == "failed"
    tree = await tree_of(recorded, world, run)
    root = tree.one("invoke_workflow one")
    assert root.status.status_code is StatusCode.ERROR
    assert attributes_of(root)[c.RUN_STATE] == "failed"
    assert [attributes_of(one)[c.ERROR_TYPE] for one in tree.named("invoke_agent work")] == ["TaskPermanent"]
    assert not any("secret" in texts_of(one) for one in tree.spans.values())


async def test_what_is_cut_off_when_a_run_is_cancelled_is_withdrawn_and_no_error(
    world: World, recorded: Recorded
) -> None:
    begun = asyncio.Event()

    async def work(task: Given, ctx: TaskContext) -> BaseModel:
        begun.set()
        return await asyncio.Future()

    await world.serve(agent_of("work", work), "w1")
    run = await world.client.submit(Request(text="?", playbook="one"))
    await begun.wait()
    await world.client.command(run, Command(verb="cancel"))
    assert (await world.answer(run)).state == "cancelled"
    tree = await tree_of(recorded, world, run)
    assert attributes_of(tree.one("invoke_agent work"))[c.ENDED] == "withdrawn"
    assert tree.children(tree.one("send run.{run}.command")) == ["process run.{run}.command"]
    assert all(one.status.status_code is StatusCode.UNSET for one in tree.spans.values())


async def test_a_host_applications_own_trace_is_linked_to_and_not_joined(world: World, recorded: Recorded) -> None:
    await world.serve(agent_of("work", make), "w1")
    with trace.get_tracer("host").start_as_current_span("its own") as host:
        run = await world.client.submit(Request(text="?", playbook="one"))
        await world.client.submit(Request(text="?", playbook="one"), run=run)  # as after a timeout: it is one run
        await world.answer(run)
    tree = await tree_of(recorded, world, run)
    sent = tree.one("send run.{run}.request")
    assert sent.parent is not None
    assert sent.parent.span_id == tree.root_id
    assert [one.context.trace_id for one in sent.links] == [host.get_span_context().trace_id]
    assert host.get_span_context().span_id not in tree.spans


async def test_who_takes_over_tells_of_a_run_whose_supervisor_died_with_its_answer(
    world: World, recorded: Recorded
) -> None:
    run = await world.client.submit(Request(text="?", playbook="one"))
    key, answer = world.client.key(run), Answer(state="completed", playbook="one", text="done")

    async def decided() -> bool:
        return any(one.subject.kind == "decision" for one in await world.client.log(run))

    await eventually(decided)
    world.tasks[0].cancel()
    await asyncio.wait([world.tasks[0]])
    envelope = Envelope.of(answer, tenant="default", run=run, sender="s1")
    log = RunLog(connection=world.connection, subjects=world.subjects, wire=world.wire)
    await log.write_once(key, world.subjects.answer(key), answer, envelope)
    await world.supervise("s2")
    tree = await tree_of(recorded, world, run, handled=0)
    root = tree.one("invoke_workflow one")
    written = (await world.client.log(run))[-1]
    assert (root.end_time, attributes_of(root)[c.RUN_STATE]) == (nanos(written.at), "completed")
    assert [attributes_of(one)[c.MESSAGING_DELIVERY] for one in tree.named("process run.{run}.request")] == [1, 2]


async def test_a_message_that_cannot_be_read_is_told_as_such(world: World, recorded: Recorded) -> None:
    await world.provisioned()
    run = f"junk-{world.subjects.prefix}"
    key = world.client.key(run)
    await world.connection.jetstream.store(world.subjects.request(key, "local"), b"secret")
    assert (await world.answer(run)).state == "rejected"
    tree = await tree_of(recorded, world, run, handled=0)
    handled = tree.one("process run.{run}.request")
    assert (handled.status.status_code, attributes_of(handled)[c.ERROR_TYPE]) == (StatusCode.ERROR, "DecodeError")
    assert tree.name(tree.spans[tree.root_id]) == "invoke_workflow none"
    assert not any("secret" in texts_of(one) for one in tree.spans.values())


async def test_a_run_that_is_turned_away_has_its_root_too(world: World, recorded: Recorded) -> None:
    run = await world.client.submit(Request(text="?", playbook="no-such"))
    assert (await world.answer(run)).state == "rejected"
    tree = await tree_of(recorded, world, run, handled=0)
    assert attributes_of(tree.one("invoke_workflow none"))[c.RUN_STATE] == "rejected"


@pytest.mark.parametrize("said", [FOREIGN, "junk", "00-" + "f" * 50])
async def test_a_request_by_hand_may_say_any_trace(world: World, recorded: Recorded, said: str) -> None:
    await world.serve(agent_of("work", make), "w1")
    await world.provisioned()
    run = f"by-hand-{world.subjects.prefix}"
    key = world.client.key(run)
    envelope = Envelope.of(Request(text="?", playbook="one"), tenant="default", run=run, sender="local")
    headers = {"traceparent": said, "tracestate": "who=secret", "baggage": "who=secret"}
    await world.connection.jetstream.store(world.subjects.request(key, "local"), encode(envelope), headers=headers)
    assert (await world.answer(run)).state == "completed"
    tree = await tree_of(recorded, world, run)
    handled = tree.one("process run.{run}.request")
    assert handled.parent is not None
    assert handled.parent.span_id == tree.root_id
    assert len(handled.links) == (1 if said == FOREIGN else 0)
    assert not any("secret" in texts_of(one) for one in tree.spans.values())
    stored = await world.connection.jetstream.read(world.subjects.runs_stream(0), f"{world.subjects.run(key)}.>")
    assert not [one for one in stored[1:] if {"tracestate", "baggage"} & one.headers.keys()]
