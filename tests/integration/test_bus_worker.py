"""The worker: one agent as a service, from the task on its queue to the one result in the run's log."""

import asyncio
import math
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stretto.agents.context import TaskContext
from stretto.agents.errors import TaskMisconfigured, TaskPermanent, TaskRetryable
from stretto.bus.envelope import Envelope, new_id, open_envelope
from stretto.bus.errors import TimedOut
from stretto.bus.registry import Registry
from stretto.bus.run_log import stand_ins
from stretto.bus.subjects import RunKey, TaskKey
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.shared.memory.errors import MemoryRefused
from stretto.shared.models.errors import CannotDo, ModelUnavailable
from stretto.shared.money.errors import BudgetSpent, PriceUnknown
from tests.integration.crew import ROLE, Crew, Loud, Shout, Shouter, Words
from tests.integration.ground import LIMIT_S, Ground, open_ground


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix, task_lease_s=1.5) as ground:
        await ground.queue.provision(ROLE)
        yield ground


@pytest.fixture
async def crew(ground: Ground) -> AsyncGenerator[Crew]:
    crew = Crew(ground)
    yield crew
    await crew.dismiss()


async def test_it_does_a_task_and_writes_the_result_once(crew: Crew) -> None:
    key = crew.key()
    agent = Shouter()
    await crew.serve(agent)
    await crew.put(key, input={"text": "hey", "times": 2})
    result = await crew.result(key)
    assert result.output == {"text": "HEYHEY", "loudness": 1.0, "parts": []}
    assert result.failure is None
    assert (result.task, result.role, result.attempt, result.agent) == ("t1", ROLE, 1, "w1")
    assert result.seconds >= 0
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)
    await crew.put(key, input={"text": "again"})  # acknowledged, so the queue takes it again: as after a server crash
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)
    assert agent.calls == 1, "it must look before it starts"
    (stored,) = await crew.ground.log.fold(key.run)
    assert await crew.opened(stored) == result


async def test_the_result_names_the_task_as_its_cause_and_the_agent_as_its_sender(crew: Crew) -> None:
    key = crew.key()
    await crew.serve(Shouter(), "w7")
    task = crew.task(key)
    await crew.ground.queue.put(key, task)
    await crew.result(key)
    (stored,) = await crew.ground.log.fold(key.run)
    envelope = await crew.ground.wire.unpack(stored.data, stored.headers, defaults=stand_ins(stored, key.run))
    assert (envelope.cause, envelope.sender, envelope.tenant, envelope.run) == (task.id, "w7", "default", "r1")


async def test_junk_in_place_of_a_result_does_not_stand_for_one(crew: Crew) -> None:
    key = crew.key()
    await crew.ground.connection.jetstream.store(crew.ground.subjects.result(key), b"junk")
    agent = Shouter()
    await crew.serve(agent)
    await crew.put(key)
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)
    assert agent.calls == 1
    junk, stored = await crew.ground.log.fold(key.run)
    assert junk.data == b"junk"
    assert (await crew.opened(stored)).output is not None


async def test_junk_behind_a_result_does_not_have_it_done_again(crew: Crew) -> None:
    key = crew.key()
    agent = Shouter()
    await crew.serve(agent)
    await crew.put(key)
    await crew.result(key)
    await crew.ground.connection.jetstream.store(crew.ground.subjects.result(key), b"junk")
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)
    await crew.put(key)
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)
    assert agent.calls == 1


async def test_a_big_output_goes_by_reference(crew: Crew) -> None:
    async def much(task: Words, ctx: TaskContext) -> Shout:
        return Shout(text="A" * 3_000_000)

    await crew.serve(Shouter(much))
    await crew.put(crew.key())
    result = await crew.result(crew.key())
    assert result.output is not None
    assert len(str(result.output["text"])) == 3_000_000


# Outcomes


async def test_input_that_does_not_fit_fails_for_good_and_names_the_field(crew: Crew) -> None:
    agent = Shouter()
    await crew.serve(agent)
    await crew.put(crew.key(), input={"text": "secret words", "times": "secret number"})
    failure = await crew.failure(crew.key())
    assert failure.kind == "permanent"
    assert "times" in failure.message
    assert "secret" not in failure.message
    assert agent.calls == 0


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (TaskRetryable("try me again"), "retryable", "try me again"),
        (TaskPermanent("never"), "permanent", "never"),
        (TaskMisconfigured("set STRETTO_KEY"), "misconfigured", "set STRETTO_KEY"),
        (CannotDo("no means"), "permanent", "no means"),
        (MemoryRefused("too many"), "permanent", "too many"),
        (TimedOut("no answer"), "retryable", "no answer"),
        (ModelUnavailable("a:1 is away"), "retryable", "a:1 is away"),
        (ModelUnavailable("a:1 is away", retry_after_s=7.0), "retryable", "a:1 is away"),
        (BudgetSpent("nothing is left"), "permanent", "nothing is left"),
        (PriceUnknown("add a line"), "misconfigured", "add a line"),
        (ValueError("secret"), "retryable", "the agent failed; its log says where"),
        (KeyError("secret"), "retryable", "the agent failed; its log says where"),
    ],
)
async def test_what_a_handler_raises_is_the_attempts_outcome(
    crew: Crew, error: Exception, kind: str, message: str
) -> None:
    async def fail(task: Words, ctx: TaskContext) -> Shout:
        raise error

    await crew.serve(Shouter(fail))
    await crew.put(crew.key())
    wait_s = error.retry_after_s if isinstance(error, ModelUnavailable) else None
    assert await crew.failure(crew.key()) == TaskFailure.model_validate(
        {"kind": kind, "error": type(error).__name__, "message": message, "retry_after_s": wait_s}
    )
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)


@pytest.mark.parametrize("late", [{"deadline": 0.2}, {"deadline": -5.0}, {"time_limit_s": 0.2}])
async def test_a_task_that_takes_too_long_is_cancelled_and_fails(crew: Crew, late: dict[str, float]) -> None:
    cancelled = asyncio.Event()

    async def linger(task: Words, ctx: TaskContext) -> Shout:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    await crew.serve(Shouter(linger))
    fields: dict[str, Any] = dict(late)
    if "deadline" in late:
        fields["deadline"] = datetime.now(UTC) + timedelta(seconds=late["deadline"])
    await crew.put(crew.key(), **fields)
    failure = await crew.failure(crew.key())
    assert (failure.kind, failure.error) == ("retryable", "TaskRetryable")
    assert cancelled.is_set()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"text": "a dict"}, "returned dict, not Shout"),
        (None, "returned NoneType, not Shout"),
        (Words(text="x"), "returned Words, not Shout"),
        (Shout(text="x", loudness=math.nan), "loudness"),
        (Shout(text="x", parts=(object(),)), "what JSON cannot say"),
    ],
)
async def test_an_output_of_the_wrong_type_fails_for_good(crew: Crew, wrong: object, told: str) -> None:
    async def wrongly(task: Words, ctx: TaskContext) -> Any:
        return wrong

    await crew.serve(Shouter(wrongly))
    await crew.put(crew.key())
    failure = await crew.failure(crew.key())
    assert failure.kind == "permanent"
    assert told in failure.message


@pytest.mark.parametrize(
    "output",
    [
        Shout(text="half a pair \ud800"),
        Shout(text="x", parts=(10**30,)),
        Shout(text="x", parts=tuple(range(10_001))),
        Shout(text="x" * (64 * 1024 * 1024)),
    ],
    ids=["surrogate", "integer", "list", "text"],
)
async def test_an_output_that_no_reader_would_take_fails_for_good(crew: Crew, output: Shout) -> None:
    async def excess(task: Words, ctx: TaskContext) -> Shout:
        return output

    await crew.serve(Shouter(excess))
    await crew.put(crew.key())
    assert (await crew.failure(crew.key())).kind == "permanent"


async def test_a_subclass_of_the_output_type_is_an_output(crew: Crew) -> None:
    async def louder(task: Words, ctx: TaskContext) -> Shout:
        return Loud(text="!")

    await crew.serve(Shouter(louder))
    await crew.put(crew.key())
    assert (await crew.result(crew.key())).output == {"text": "!", "loudness": 1.0, "parts": [], "very": True}


# Junk


async def test_junk_becomes_a_dead_letter_with_its_bytes_and_the_queue_goes_on(crew: Crew) -> None:
    agent = Shouter()
    await crew.serve(agent)
    subject = crew.ground.subjects.task(crew.key("junk"))
    seq = await crew.ground.connection.jetstream.store(subject, b"\x00\xffjunk", headers={"Kind": "odd"})
    letter = await crew.letter(subject)
    assert (letter.origin, letter.seq, letter.data, letter.headers["Kind"]) == (subject, seq, b"\x00\xffjunk", "odd")
    assert "junk" not in letter.reason
    await crew.put(crew.key())
    assert (await crew.result(crew.key())).output is not None
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)


def forged(crew: Crew, what: str) -> Envelope:
    key = crew.key()
    match what:
        case "tenant":
            return crew.task(TaskKey(RunKey(0, "other", "r1"), ROLE, "t1", 1))
        case "run":
            return crew.task(crew.key(run="r2"))
        case "task":
            return crew.task(crew.key("t2"))
        case "attempt":
            return crew.task(crew.key(attempt=2))
        case "role":
            return crew.task(TaskKey(key.run, "writer", "t1", 1))
        case "shard":
            return crew.task(key, shard=1)
        case "type":
            return crew.task(key).model_copy(update={"type": "result"})
        case "version":
            return crew.task(key).model_copy(update={"version": "2.0"})
        case _:
            raise AssertionError(what)


@pytest.mark.parametrize("what", ["tenant", "run", "task", "attempt", "role", "shard", "type", "version"])
async def test_a_task_that_says_something_else_than_its_subject_is_a_dead_letter(crew: Crew, what: str) -> None:
    agent = Shouter()
    await crew.serve(agent)
    envelope, subject = forged(crew, what), crew.ground.subjects.task(crew.key())
    data = await crew.ground.wire.pack(envelope)
    await crew.ground.connection.jetstream.store(subject, data)
    assert (await crew.letter(subject)).data == data
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)
    assert agent.calls == 0
    assert await crew.ground.depth(crew.ground.shard) == 0


async def test_a_hostile_subject_becomes_a_dead_letter_too(crew: Crew) -> None:
    await crew.serve(Shouter())
    subject = f"{crew.ground.subjects.prefix}.task.{ROLE}.ünusual.{'x' * 300}.a.b.c.d.e.f.g.h.i.j.k.l.m"
    await crew.ground.connection.jetstream.store(subject, b"junk")
    assert (await crew.letter(subject)).origin == subject


# Several agents


async def test_a_task_of_a_worker_that_was_cancelled_goes_to_another(crew: Crew) -> None:
    taken = asyncio.Event()

    async def linger(task: Words, ctx: TaskContext) -> Shout:
        taken.set()
        await asyncio.Event().wait()
        raise AssertionError

    _, running = await crew.serve(Shouter(linger), "w1")
    await crew.put(crew.key())
    async with asyncio.timeout(LIMIT_S):
        await taken.wait()
    running.cancel()
    await asyncio.wait([running])
    await crew.serve(Shouter(), "w2")
    assert (await crew.result(crew.key())).agent == "w2"


async def test_only_the_first_of_two_that_do_the_same_task_is_believed(crew: Crew) -> None:
    key, started, finish = crew.key(), asyncio.Event(), asyncio.Event()

    async def slow(task: Words, ctx: TaskContext) -> Shout:
        started.set()
        await finish.wait()
        return Shout(text="slow")

    await crew.serve(Shouter(slow), "slow")
    await crew.put(key)
    async with asyncio.timeout(LIMIT_S):
        await started.wait()
    # Somebody else was first, as after a lease that ran out.
    first = TaskResult(task=key.task, attempt=1, role=ROLE, agent="fast", output={"text": "fast"})
    envelope = Envelope.of(first, tenant="default", run="r1", sender="fast")
    assert await crew.ground.log.write_once(key.run, crew.ground.subjects.result(key), first, envelope)
    finish.set()
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)
    (stored,) = await crew.ground.log.fold(key.run)
    assert (await crew.opened(stored)).agent == "fast"


async def test_a_worker_announces_itself_and_says_goodbye_when_its_work_is_done(crew: Crew) -> None:
    taken, finish = asyncio.Event(), asyncio.Event()

    async def wait(task: Words, ctx: TaskContext) -> Shout:
        taken.set()
        await finish.wait()
        return Shout(text="done")

    async with Registry(connection=crew.ground.connection, subjects=crew.ground.subjects) as registry:
        worker, running = await crew.serve(Shouter(wait))
        assert await registry.wait_for(ROLE, timeout_s=LIMIT_S)
        (card,) = registry.alive(ROLE)
        assert (card.instance, card.slots, card.description) == ("w1", 2, "Says it louder.")
        assert card.input_schema["required"] == ["text"]
        await crew.put(crew.key())
        async with asyncio.timeout(LIMIT_S):
            await taken.wait()
            worker.stop()
            finish.set()
            await running
        assert (await crew.result(crew.key())).output is not None
        async with asyncio.timeout(LIMIT_S):
            while registry.serves(ROLE):
                await crew.ground.connection.client.flush()


async def test_progress_is_told_live(crew: Crew) -> None:
    go_on = asyncio.Event()

    async def tell(task: Words, ctx: TaskContext) -> Shout:
        await ctx.progress("half way")
        await go_on.wait()
        return Shout(text="done")

    key = crew.key(run=new_id())
    async with crew.ground.connection.listen(crew.ground.subjects.any_progress(key.run)) as news:
        await crew.serve(Shouter(tell))
        await crew.put(key)
        async with asyncio.timeout(LIMIT_S):
            said = [open_envelope(await crew.ground.wire.unpack((await news.get()).data, None), Progress) for _ in "12"]
        go_on.set()
        await crew.result(key)
    # That it has begun is told of a task only when it takes a while.
    assert [(one.kind, one.task, one.text) for one in said] == [
        ("note", "t1", "half way"),
        ("started", "t1", "shouter begins"),
    ]


async def test_a_task_that_is_over_at_once_is_not_told_of(crew: Crew) -> None:
    async def work(task: Words, ctx: TaskContext) -> Shout:
        return Shout(text="done")

    key = crew.key(run=new_id())
    async with crew.ground.connection.listen(crew.ground.subjects.any_progress(key.run)) as news:
        await crew.serve(Shouter(work))
        await crew.put(key)
        await crew.result(key)
        assert news.empty()
