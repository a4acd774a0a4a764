"""The client: one run for one request, its answer whenever it comes, and what happens on the way, in order."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from stretto.bus.client import Client, LiveMessage, RunMessage
from stretto.bus.codec import encode
from stretto.bus.envelope import Envelope
from stretto.bus.errors import Conflict, RunExists, StreamMissing, TimedOut
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects, TaskKey
from tests.integration.ground import LIMIT_S, Ground, MortalServer, Note, open_ground, wrap


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, shards=4) as ground:
        yield ground


def client_of(ground: Ground, tenant: str = "default", principal: str = "local") -> Client:
    return Client(connection=ground.connection, deployment=ground.deployment, tenant=tenant, principal=principal)


async def answer(ground: Ground, run: str, text: str = "42") -> None:
    key = ground.client.key(run)
    note = Note(text=text)
    await ground.log.write_once(key, ground.subjects.answer(key), note, wrap(note, key))


# Submitting


async def test_the_same_request_under_the_same_run_id_is_one_run(ground: Ground) -> None:
    run = await ground.client.submit(Note(text="why?"))
    assert await ground.client.submit(Note(text="why?"), run=run) == run
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(ground.client.submit(Note(text="at once"), run="r2"))
    assert [len(await ground.client.log(one)) for one in (run, "r2")] == [1, 1]
    (fact,) = await ground.client.log(run)
    assert (fact.subject.kind, fact.subject.tail, fact.envelope.sender) == ("request", ("local",), "local")
    assert fact.envelope.body["text"] == "why?"


async def test_a_run_id_belongs_to_its_first_request(ground: Ground) -> None:
    run = await ground.client.submit(Note(text="why?"))
    with pytest.raises(RunExists, match=run):
        await ground.client.submit(Note(text="how?"), run=run)
    with pytest.raises(RunExists, match=run):
        await client_of(ground, principal="bob").submit(Note(text="why?"), run=run)
    assert len(await ground.client.log(run)) == 1
    assert await client_of(ground, tenant="other").submit(Note(text="how?"), run=run) == run, "another tenant's run"


async def test_junk_under_a_run_id_takes_it(ground: Ground) -> None:
    await ground.connection.jetstream.store(ground.subjects.request(ground.client.key("r1"), "local"), b"junk")
    with pytest.raises(RunExists):
        await ground.client.submit(Note(text="why?"), run="r1")


@pytest.mark.parametrize("bad", ["", "Run", "a.b", "a b", "*"])
async def test_bad_names_are_refused(ground: Ground, bad: str) -> None:
    with pytest.raises(ValueError, match=r"run .* is not allowed"):
        await ground.client.submit(Note(), run=bad)
    with pytest.raises(ValueError, match=r"tenant .* is not allowed"):
        client_of(ground, tenant=bad)
    with pytest.raises(ValueError, match=r"principal .* is not allowed"):
        client_of(ground, principal=bad)


async def test_a_big_request_goes_by_reference_and_comes_back_whole(ground: Ground) -> None:
    text = "x" * 2_000_000
    run = await ground.client.submit(Note(text=text))
    assert await ground.client.submit(Note(text=text), run=run) == run
    (fact,) = await ground.client.log(run)
    assert fact.envelope.body["text"] == text


async def test_without_streams_it_says_that_no_supervisor_has_made_them(nats_url: str, prefix: str) -> None:
    async with open_ground(nats_url, prefix) as ground:
        deployment = Deployment(subjects=Subjects(f"{prefix}-x"))
        client = Client(connection=await ground.connect(timeout_s=1.0), deployment=deployment)
        with pytest.raises(StreamMissing, match="is a supervisor running for this prefix"):
            await client.submit(Note())
        with pytest.raises(StreamMissing):
            await client.result("r1", timeout_s=LIMIT_S)


async def test_a_run_is_known_from_its_request_on(ground: Ground) -> None:
    assert not await ground.client.exists("r1")
    await ground.client.submit(Note(), run="r1")
    assert await ground.client.exists("r1")


async def test_commands_are_facts_of_the_run(ground: Ground) -> None:
    await ground.client.submit(Note(), run="r1")
    for text in ("cancel", "cancel"):
        await ground.client.command("r1", Note(text=text))
    _, *commands = await ground.client.log("r1")
    assert [(one.subject.kind, one.subject.tail[0]) for one in commands] == [("command", "local")] * 2
    assert [one.subject.tail[1] for one in commands] == [one.envelope.id for one in commands]


async def test_a_command_is_given_once_whoever_gives_it(ground: Ground) -> None:
    await ground.client.submit(Note(), run="r1")
    ann, bob = client_of(ground, principal="ann"), client_of(ground, principal="bob")

    def counts(one: RunMessage) -> bool:
        return "text" in one.envelope.body

    key = ground.client.key("r1")
    await ground.connection.jetstream.store(ground.subjects.command(key, "eve", "c1"), b"\x00junk")
    first = await ann.command_once("r1", Note(text="yes"), "c1", counts=counts)
    assert await ann.command_once("r1", Note(text="yes"), "c1", counts=counts) == first
    for late, text in ((bob, "yes"), (ann, "no")):
        with pytest.raises(Conflict):
            await late.command_once("r1", Note(text=text), "c1", counts=counts)
    assert await bob.command_once("r1", Note(text="yes"), "c2", counts=counts) > first
    assert [one.subject.tail for one in await ann.log("r1")] == [("local",), ("ann", "c1"), ("bob", "c2")]


# The answer


async def test_an_answer_that_is_there_is_returned_at_once(ground: Ground) -> None:
    run = await ground.client.submit(Note())
    await answer(ground, run)
    async with asyncio.timeout(1.0):
        assert (await ground.client.result(run)).body["text"] == "42"


async def test_an_answer_that_comes_later_is_returned_when_it_comes(ground: Ground) -> None:
    run = await ground.client.submit(Note())
    async with asyncio.TaskGroup() as group:
        results = [group.create_task(client_of(ground).result(run)) for _ in range(3)]
        await asyncio.wait(results, timeout=0.2)
        assert not any(result.done() for result in results)
        await answer(ground, run)
        async with asyncio.timeout(1.0):
            assert [(await result).body["text"] for result in results] == ["42"] * 3


async def test_without_an_answer_the_wait_ends_and_the_run_goes_on(ground: Ground) -> None:
    run = await ground.client.submit(Note())
    with pytest.raises(TimedOut, match=rf"run {run} has no answer after 0\.2 s; it goes on"):
        await ground.client.result(run, timeout_s=0.2)
    await answer(ground, run)
    assert (await ground.client.result(run, timeout_s=LIMIT_S)).body["text"] == "42"


async def test_junk_before_and_behind_the_answer_is_not_the_answer(ground: Ground) -> None:
    run = await ground.client.submit(Note())
    subject = ground.subjects.answer(ground.client.key(run))
    await ground.connection.jetstream.store(subject, b"junk")
    with pytest.raises(TimedOut):
        await ground.client.result(run, timeout_s=0.2)
    async with asyncio.TaskGroup() as group:
        result = group.create_task(ground.client.result(run, timeout_s=LIMIT_S))
        await asyncio.wait([result], timeout=0.1)
        await answer(ground, run)
        assert (await result).body["text"] == "42"
    await ground.connection.jetstream.store(subject, b"more junk")
    assert (await ground.client.result(run, timeout_s=LIMIT_S)).body["text"] == "42"


# Events


async def live(ground: Ground, run: str, text: str) -> None:
    key = ground.client.key(run)
    await ground.connection.publish(ground.subjects.progress(key, "writer"), encode(wrap(Note(text=text), key)))


async def store(ground: Ground, run: str, task: str) -> None:
    key = ground.client.key(run)
    await ground.log.append(
        key, ground.subjects.result(TaskKey(key, "writer", task, 1)), wrap(Note(text=task), key), after=0
    )


def told(event: RunMessage | LiveMessage) -> str:
    envelope: Envelope = event.envelope
    kind = event.subject.kind if isinstance(event, RunMessage) else "live"
    return f"{kind} {envelope.body['text']}".strip()


async def test_events_tell_what_was_and_what_comes_until_the_answer(ground: Ground) -> None:
    run = await ground.client.submit(Note(text="why?"))
    await store(ground, run, "t1")
    async with asyncio.timeout(LIMIT_S), contextlib.aclosing(ground.client.events(run)) as events:
        assert [told(await anext(events)) for _ in range(2)] == ["request why?", "result t1"]
        coming = asyncio.ensure_future(anext(events))
        await live(ground, run, "thinking")
        assert told(await coming) == "live thinking"
        coming = asyncio.ensure_future(anext(events))
        await ground.connection.publish(ground.subjects.progress(ground.client.key(run), "writer"), b"\x00junk")
        await store(ground, run, "t2")
        assert told(await coming) == "result t2"
        await answer(ground, run)
        assert told(await anext(events)) == "answer 42"
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_events_of_a_run_that_has_ended_are_its_log(ground: Ground) -> None:
    run = await ground.client.submit(Note(text="why?"))
    await store(ground, run, "t1")
    await answer(ground, run)
    async with asyncio.timeout(LIMIT_S):
        assert [told(event) async for event in ground.client.events(run)] == ["request why?", "result t1", "answer 42"]


async def test_five_hundred_facts_come_in_order_and_once(ground: Ground) -> None:
    run = await ground.client.submit(Note(text="why?"))
    names = [f"t{number}" for number in range(500)]

    async def write() -> None:
        for name in names:
            await store(ground, run, name)
        await answer(ground, run)

    async with asyncio.timeout(2 * LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(write())
        found = [told(event) async for event in client_of(await ground.again()).events(run)]
    assert found == ["request why?", *(f"result {name}" for name in names), "answer 42"]


async def test_a_reader_who_takes_long_over_an_event_is_not_cut_off(ground: Ground) -> None:
    run = await ground.client.submit(Note(text="why?"))
    async with contextlib.aclosing(ground.client.events(run)) as events:
        assert told(await anext(events)) == "request why?"
        coming = asyncio.ensure_future(anext(events))
        await live(ground, run, "thinking")
        async with asyncio.timeout(LIMIT_S):
            assert told(await coming) == "live thinking"
        # Longer than the client lets pass before it looks at the log itself: a limit left running would go off here.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.2):
                await asyncio.Event().wait()
        await answer(ground, run)
        async with asyncio.timeout(LIMIT_S):
            assert told(await anext(events)) == "answer 42"


async def test_events_and_the_answer_survive_a_server_that_is_killed(tmp_path: Path, prefix: str) -> None:
    async with MortalServer(tmp_path) as server, open_ground(server.url, prefix) as ground:
        run = await ground.client.submit(Note(text="why?"))
        watcher = client_of(await ground.again())
        found: list[str] = []
        first = asyncio.Event()

        async def watch() -> None:
            async for event in watcher.events(run):
                found.append(told(event))
                first.set()

        async with asyncio.timeout(3 * LIMIT_S), asyncio.TaskGroup() as group:
            group.create_task(watch())
            result = group.create_task(watcher.result(run))
            await first.wait()
            await store(ground, run, "t1")
            await server.kill()
            await server.restart()
            await store(ground, run, "t2")
            await answer(ground, run)
            assert (await result).body["text"] == "42"
        assert found == ["request why?", "result t1", "result t2", "answer 42"]
