"""Stops: what ends a handler from outside, and what becomes of its task then."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import JsonValue

from stretto.agents.context import TaskContext
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.message import Message
from stretto.bus.step import Intent, Step, digest_of
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.question import Question, Settled, question_id
from stretto.shared.contracts.step import ModelOutcome
from stretto.shared.contracts.withdrawal import Withdrawn
from tests.integration.crew import ROLE, Crew
from tests.integration.ground import LIMIT_S, Ground, MortalServer, open_ground
from tests.integration.lives import CountingModel, FakeTool, Lives, look, say, steps_of
from tests.unit.agent_world import settle


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


async def asked(crew: Crew, key: TaskKey, position: int = 0) -> Question:
    """The question at a step, as soon as it is in the log."""
    subject = crew.ground.subjects.question(key, position)
    async with asyncio.timeout(LIMIT_S):
        while (found := await crew.ground.log.first(key.run, subject, Question)) is None:
            await crew.ground.connection.client.flush()
    return found[1]


async def resume(crew: Crew, key: TaskKey, *settled: Settled) -> None:
    """Queue the attempt again, as a supervisor does when its questions are settled."""
    await crew.ground.queue.put(key, crew.task(key, settled=settled), resumption=len(settled))


async def idle(crew: Crew) -> None:
    """All that was queued is acknowledged."""
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)


async def write(crew: Crew, key: TaskKey, subject: str, message: Message) -> None:
    envelope = Envelope.of(message, tenant=key.run.tenant, run=key.run.run, sender="somebody")
    await crew.ground.connection.jetstream.store(subject, await crew.ground.wire.pack(envelope), expect=0)


async def became_busy(of: CountingModel | FakeTool) -> None:
    async with asyncio.timeout(LIMIT_S):
        await of.busy.wait()


# A person


async def test_a_question_parks_the_task_and_frees_the_slot_until_it_is_answered(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        if ctx.key.task != "t1":
            return "done meanwhile"
        first = await say(ctx, "one")
        answer = await ctx.ask_human(
            "Which?", summary="Two differ.", points=("a",), options=("b", "c"), expires_in_s=60.0
        )
        return f"{first} {answer.outcome} {answer.text} by {answer.principal}: {await say(ctx, 'two')}"

    key, lives = crew.key(), Lives(crew, handle)
    lives.slots = 1
    await lives.begin()
    await crew.put(key)
    question = await asked(crew, key, 1)
    assert (question.id, question.position, question.kind) == (question_id(key, 1), 1, "question")
    assert (question.text, question.summary, question.points, question.options, question.expires_in_s) == (
        "Which?",
        "Two differ.",
        ("a",),
        ("b", "c"),
        60.0,
    )
    assert (question.role, question.task, question.attempt) == (ROLE, "t1", 1)
    await idle(crew)
    await crew.put(crew.key("t2"))
    assert (await crew.result(crew.key("t2"))).output is not None, "its only slot is free"
    assert await crew.ground.log.last(key.run, crew.ground.subjects.result(key)) is None
    await resume(crew, key, settle(question, "answered", "the second"))
    result = await crew.result(key)
    assert result.output is not None
    assert result.output["text"] == "one#1 answered the second by ann: two#2"
    assert lives.model.asked == ["one", "two"]
    assert result.usage.model_calls == 2


async def test_what_was_asked_parks_again_when_the_old_message_comes_again(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return (await ctx.ask_human("Go on?", kind="approval")).outcome

    key = crew.key()
    await Lives(crew, handle).begin()
    for _ in "12":
        await crew.put(key)
        await asked(crew, key)
        await idle(crew)
    assert len(await crew.ground.log.all_on(key.run, crew.ground.subjects.question(key, 0))) == 1


@pytest.mark.parametrize(("outcome", "told"), [("approved", "True"), ("rejected", "False")])
async def test_an_approval_is_given_or_not(crew: Crew, outcome: Literal["approved", "rejected"], told: str) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        answer = await ctx.ask_human("Go on?", kind="approval")
        return f"{answer.approved} {answer.text}"

    key = crew.key()
    await Lives(crew, handle).begin()
    await crew.put(key)
    await resume(crew, key, settle(await asked(crew, key), outcome, "so be it"))
    result = await crew.result(key)
    assert result.output is not None
    assert result.output["text"] == f"{told} so be it"


async def test_a_question_that_expired_fails_the_task_for_good(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return (await ctx.ask_human("Go on?")).text

    key = crew.key()
    await Lives(crew, handle).begin()
    await crew.put(key)
    question = await asked(crew, key)
    await resume(crew, key, settle(question, "expired"))
    failure = await crew.failure(key)
    assert (failure.kind, failure.error) == ("permanent", "QuestionExpired")
    assert question.id in failure.message


async def test_an_answer_to_another_question_ends_the_attempt(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return (await ctx.ask_human("Go on?")).text

    key = crew.key()
    await Lives(crew, handle).begin()
    await crew.put(key)
    question = await asked(crew, key)
    other = settle(question.model_copy(update={"digest": "0" * 64}), "answered", "yes")
    await resume(crew, key, other)
    assert (await crew.failure(key)).error == "JournalMismatch"


async def test_several_questions_at_once_are_all_asked_before_the_task_is_parked(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        one, two, said = await asyncio.gather(ctx.ask_human("a?"), ctx.ask_human("b?"), say(ctx, "beside"))
        return f"{one.text} {two.text} {said}"

    key, lives = crew.key(), Lives(crew, handle)
    lives.model.free.clear()
    await lives.begin()
    await crew.put(key)
    questions = [await asked(crew, key, position) for position in (0, 1)]
    await crew.ground.connection.client.flush()
    lives.model.free.set()
    await idle(crew)
    assert [one.text for one in questions] == ["a?", "b?"]
    await resume(crew, key, *(settle(one, "answered", f"{one.text}!") for one in questions))
    result = await crew.result(key)
    assert result.output is not None
    assert result.output["text"] == "a?! b?! beside#1"
    assert lives.model.asked == ["beside"], "what was in flight when the task was parked was finished first"


@pytest.mark.parametrize(("text", "expires_in_s"), [("", 1.0), ("x" * 4_001, 1.0), ("Which?", 0.0)])
async def test_what_is_no_question_is_not_asked(crew: Crew, text: str, expires_in_s: float) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return (await ctx.ask_human(text, expires_in_s=expires_in_s)).text

    await Lives(crew, handle).begin()
    await crew.put(crew.key())
    failure = await crew.failure(crew.key())
    assert failure.kind == "permanent"
    assert "cannot be asked" in failure.message


async def test_what_was_read_for_a_question_is_seen_again_behind_it(crew: Crew) -> None:
    numbers = itertools.count()

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        seen = await ctx._effects.observe("number", None, count)
        return f"{seen} {(await ctx.ask_human(f'Is it {seen}?')).text}"

    async def count() -> int:
        return next(numbers)

    key = crew.key()
    await Lives(crew, handle).begin()
    await crew.put(key)
    question = await asked(crew, key)
    assert question.text == "Is it 0?"
    await resume(crew, key, settle(question, "answered", "yes"))
    result = await crew.result(key)
    assert result.output is not None
    assert result.output["text"] == "0 yes"


# An effect that nobody knows of whether it happened


@pytest.mark.parametrize(
    ("outcome", "result_text", "calls"), [("approved", "None", 1), ("rejected", "{'done': 2, 'to': 'ann'}", 2)]
)
async def test_an_unkeyed_tool_whose_outcome_is_unknown_asks_a_person(
    crew: Crew, outcome: Literal["approved", "rejected"], result_text: str, calls: int
) -> None:
    tool = FakeTool("mail", "unkeyed")

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return str(await ctx.tools.call("mail", {"to": "ann"}))

    key, lives = crew.key(), Lives(crew, handle, tools=[tool])
    tool.free.clear()
    await lives.begin()
    await crew.put(key)
    await became_busy(tool)
    await lives.end()
    tool.free.set()
    await lives.begin()
    question = await asked(crew, key)
    assert question.kind == "approval"
    assert "'mail'" in question.text
    assert question.points == ('{"to": "ann"}',)
    await idle(crew)
    assert len(tool.keys) == 1, "it must not be called on a guess"
    await resume(crew, key, settle(question, outcome))
    result = await crew.result(key)
    assert result.output is not None
    assert result.output["text"] == result_text
    assert len(tool.keys) == calls


async def test_a_second_death_asks_a_second_question(crew: Crew) -> None:
    tool = FakeTool("mail", "unkeyed")

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return str(await ctx.tools.call("mail", {"to": "ann"}))

    key, lives = crew.key(), Lives(crew, handle, tools=[tool])
    tool.free.clear()
    await lives.begin()
    await crew.put(key)
    await became_busy(tool)
    await lives.begin()
    first = settle(await asked(crew, key, 0), "rejected")
    tool.busy.clear()
    await resume(crew, key, first)
    await became_busy(tool)
    await lives.begin()
    second = settle(await asked(crew, key, 1), "approved")
    await resume(crew, key, first, second)
    result = await crew.result(key)
    assert result.output is not None
    assert result.output["text"] == "None"
    assert len(tool.keys) == 2
    assert [step.end for step in await steps_of(crew.ground, key)] == ["not_done", "done"]


async def test_an_unkeyed_tool_that_is_cut_off_by_the_time_limit_is_not_tried_again(crew: Crew) -> None:
    tool = FakeTool("mail", "unkeyed")

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return str(await ctx.tools.call("mail"))

    tool.free.clear()
    await Lives(crew, handle, tools=[tool]).begin()
    await crew.put(crew.key(), time_limit_s=0.3)
    failure = await crew.failure(crew.key())
    assert failure.kind == "permanent"
    assert "whether 'mail' happened is not known" in failure.message


# The run is over


async def over(crew: Crew, key: TaskKey) -> None:
    """The run has its answer."""
    await write(crew, key, crew.ground.subjects.answer(key.run), Answer(state="cancelled"))


async def withdraw(crew: Crew, key: TaskKey) -> None:
    envelope = Envelope.of(Withdrawn(), tenant=key.run.tenant, run=key.run.run, sender="supervisor")
    await crew.ground.connection.publish(crew.ground.subjects.withdraw(ROLE), await crew.ground.wire.pack(envelope))


async def until_cancelled(model: CountingModel) -> None:
    async with asyncio.timeout(LIMIT_S):
        await model.cut_off.wait()


async def test_a_withdrawal_cuts_a_model_call_off_within_a_second(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        try:
            return await say(ctx, "one")
        except Exception:  # noqa: BLE001 (no handler may get past a stop in this way)
            return "swallowed"

    key, lives = crew.key(), Lives(crew, handle)
    lives.model.free.clear()
    await lives.begin()
    await crew.put(key)
    await became_busy(lives.model)
    await over(crew, key)
    began = asyncio.get_running_loop().time()
    await withdraw(crew, key)
    await until_cancelled(lives.model)
    assert asyncio.get_running_loop().time() - began < 1.0
    await idle(crew)
    assert await crew.ground.log.last(key.run, crew.ground.subjects.result(key)) is None
    await crew.put(key)
    await idle(crew)
    assert lives.model.asked == ["one"], "a task of a run that is over is not begun"


async def test_a_withdrawal_that_nobody_hears_is_found_out(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return await say(ctx, "one")

    key, lives = crew.key(), Lives(crew, handle)
    lives.model.free.clear()
    await lives.begin()
    await crew.put(key)
    await became_busy(lives.model)
    await over(crew, key)
    await until_cancelled(lives.model)
    await idle(crew)


async def test_a_withdrawal_of_a_run_that_goes_on_is_not_believed(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return await say(ctx, "one")

    key, other, lives = crew.key(), crew.key(run="r2"), Lives(crew, handle)
    lives.model.free.clear()
    await lives.begin()
    await crew.put(key)
    await became_busy(lives.model)
    await over(crew, other)
    await withdraw(crew, other)
    await withdraw(crew, key)
    await crew.ground.connection.publish(crew.ground.subjects.withdraw(ROLE), b"junk")
    await crew.ground.connection.client.flush()
    lives.model.free.set()
    assert (await crew.result(key)).failure is None


# Another process was first


def said_by_another(key: TaskKey, question: str) -> Step:
    value: JsonValue = {"instructions": "say", "question": question, "documents": []}
    outcome = ModelOutcome(output={"text": "by another"}, model="m")
    return Step(position=0, kind="model", name="Line", digest=digest_of(value), output=outcome.model_dump(mode="json"))


async def test_who_was_overtaken_says_nothing_about_the_message(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        said = await say(ctx, "one")
        seen.append((ctx, said))
        return f"{said}, {await say(ctx, 'two')}"

    seen: list[Any] = []
    key, lives = crew.key(), Lives(crew, handle)
    lives.model.free.clear()
    await lives.begin()
    await crew.put(key)
    await became_busy(lives.model)
    await write(crew, key, crew.ground.subjects.step(key, 0), said_by_another(key, "one"))
    lives.model.free.set()
    result = await crew.result(key)  # delivered again when the lease has run out: it was not acknowledged
    assert result.output is not None
    assert result.output["text"] == "by another, two#2"
    assert [said for _, said in seen] == ["by another", "by another"]
    assert lives.model.asked == ["one", "two"], "after it was overtaken it did nothing more"


async def test_of_two_that_begin_the_same_call_only_one_makes_it(crew: Crew) -> None:
    tool = FakeTool("mail", "unkeyed")

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        await say(ctx, "one")
        return str(await ctx.tools.call("mail", {"to": "ann"}))

    key, lives = crew.key(), Lives(crew, handle, tools=[tool])
    lives.model.free.clear()
    await lives.begin()
    await crew.put(key)
    await became_busy(lives.model)
    digest = digest_of({"to": "ann"})
    intent = Intent(position=1, kind="tool", name="mail", digest=digest, key="k")
    await write(crew, key, crew.ground.subjects.intent(key, 1), intent)
    lives.model.free.set()
    question = await asked(crew, key, 1)  # by the delivery after the one that was overtaken
    assert question.digest == digest
    assert tool.keys == []


async def test_who_was_overtaken_by_something_else_stops_too(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return await say(ctx, "one")

    key, lives = crew.key(), Lives(crew, handle)
    lives.model.free.clear()
    await lives.begin()
    await crew.put(key)
    await became_busy(lives.model)
    await write(crew, key, crew.ground.subjects.step(key, 0), said_by_another(key, "something else"))
    lives.model.free.set()
    assert (await crew.failure(key)).error == "JournalMismatch", "that is what its record says, when it comes again"
    assert lives.model.asked == ["one"]


# Handlers that will not stop


async def test_a_handler_that_swallows_its_cancellation_is_stopped_all_the_same(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        for _ in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(1)
        return await say(ctx, "one")

    swallowed: list[int] = []
    key, lives = crew.key(), Lives(crew, handle)
    await lives.begin()
    await crew.put(key, time_limit_s=0.1)
    failure = await crew.failure(key)
    assert failure.message == "not finished within its time"
    assert len(swallowed) == 3
    assert lives.model.asked == []


async def test_a_handler_that_cancels_itself_has_failed(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        raise asyncio.CancelledError

    await Lives(crew, handle).begin()
    await crew.put(crew.key())
    failure = await crew.failure(crew.key())
    assert (failure.kind, failure.message) == ("retryable", "the handler cancelled itself")


async def test_a_worker_that_stops_hands_its_task_back_with_what_it_has(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return f"{await say(ctx, 'one')} {await say(ctx, 'two')}"

    lives = Lives(crew, handle)
    lives.model.held.add("two")
    lives.model.free.clear()
    await lives.begin()
    await crew.put(crew.key())
    async with asyncio.timeout(LIMIT_S):
        while len(lives.model.asked) < 2:
            await crew.ground.connection.client.flush()
    began = asyncio.get_running_loop().time()
    await lives.end()
    lives.model.free.set()
    await lives.begin()
    result = await crew.result(crew.key())
    assert asyncio.get_running_loop().time() - began < 1.5, "it is handed back, not left to its lease"
    assert result.output is not None
    assert result.output["text"] == "one#1 two#3"


# The bus is away


async def test_an_outcome_is_kept_while_the_bus_is_away(tmp_path: Path, prefix: str) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return await say(ctx, "one")

    async with MortalServer(tmp_path) as server, open_ground(server.url, prefix, task_lease_s=30) as ground:
        await ground.queue.provision(ROLE)
        crew = Crew(ground)
        lives = Lives(crew, handle)
        lives.model.free.clear()
        await lives.begin()
        await crew.put(crew.key())
        await became_busy(lives.model)
        await server.kill()
        lives.model.free.set()
        await server.restart()
        result = await crew.result(crew.key())
        assert result.output is not None
        assert result.output["text"] == "one#1"
        assert lives.model.asked == ["one"]
        (step,) = (await look(ground, crew.key())).steps
        assert step.end == "done"
        await crew.dismiss()


async def test_a_question_in_the_log_is_one_that_anybody_can_read(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return (await ctx.ask_human("Go on?")).text

    key = crew.key()
    await Lives(crew, handle).begin()
    await crew.put(key)
    await asked(crew, key)
    (stored,) = await crew.ground.log.all_on(key.run, crew.ground.subjects.question(key, 0))
    envelope = await crew.ground.wire.unpack(stored.data, stored.headers)
    assert (envelope.sender, envelope.tenant, envelope.run) == ("w1", "default", "r1")
    assert open_envelope(envelope, Question).id == question_id(key, 0)
    assert (datetime.now(UTC) - envelope.sent_at).total_seconds() < LIMIT_S
