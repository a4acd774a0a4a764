"""Steps: an attempt that is done again goes on from what is on record, whatever happened to the process that did it before."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, JsonValue

from stretto.agents.context import TaskContext
from stretto.agents.errors import TaskRetryable
from stretto.bus import failpoints
from stretto.bus.effect_failure import EffectFailure
from stretto.bus.envelope import open_envelope
from stretto.bus.step import Intent, Step
from stretto.shared.contracts.memory import Hit, Hits
from stretto.shared.contracts.task import TaskResult
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import ModelUnavailable
from stretto.shared.models.protocol import Output, Reply
from tests.integration.crew import ROLE, Crew, Shouter
from tests.integration.ground import LIMIT_S, Ground, open_ground
from tests.integration.lives import CountingModel, FakeTool, Line, Lives, look, say, steps_of
from tests.integration.mortal_agent import FileModel, think
from tests.unit.agent_world import ListMemory, record


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


# Going on


async def test_a_redelivered_task_goes_on_from_its_record_and_pays_once(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        first = await say(ctx, "one")
        await lives.linger()
        return f"{first} {await say(ctx, 'two')}"

    lives = Lives(crew, handle)
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    await lives.begin()
    result = await crew.result(crew.key())
    assert result.agent == "w2"
    assert result.output is not None
    assert result.output["text"] == "one#1 two#2"
    assert lives.model.asked == ["one", "two"]
    assert result.usage == Usage(model_calls=2, output_tokens=20), "each step counts once"
    assert result.models == ("counting",)


async def test_a_step_says_what_it_was_and_what_came_of_it(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        await ctx.step("add", {"a": 1}, lambda: _give({"sum": 2}))
        return await say(ctx, "one")

    await Lives(crew, handle).begin()
    await crew.put(crew.key())
    await crew.result(crew.key())
    added, said = await steps_of(crew.ground, crew.key())
    assert (added.position, added.kind, added.name, added.output) == (0, "step", "add", {"sum": 2})
    assert (said.position, said.kind, said.name, said.end) == (1, "model", "Line", "done")
    assert isinstance(said.output, dict)
    assert said.output["output"] == {"text": "one#1"}
    assert len(said.digest) == 64


async def _give(value: JsonValue) -> JsonValue:
    return value


async def test_effects_side_by_side_are_kept_and_only_what_was_in_flight_is_done_again(crew: Crew) -> None:
    async def branch(ctx: TaskContext, lives: Lives, name: str) -> str:
        first = await say(ctx, f"{name}1")
        if name == "b":
            await lives.linger()
        return await say(ctx, f"{name}2 after {first}")

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return " | ".join(await asyncio.gather(*(branch(ctx, lives, name) for name in "abc")))

    lives = Lives(crew, handle)
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    async with asyncio.timeout(LIMIT_S):
        while len(await steps_of(crew.ground, crew.key())) < 5:
            await crew.ground.connection.client.flush()
    before = list(lives.model.asked)
    await lives.begin()
    result = await crew.result(crew.key())
    assert sorted(lives.model.asked[: len(before)]) == sorted(before)
    (again,) = lives.model.asked[len(before) :]
    assert again.startswith("b2 after b1#")
    assert result.usage.model_calls == 6
    assert result.failure is None


async def test_the_first_of_several_stays_the_first(crew: Crew) -> None:
    class Late(CountingModel):
        """Takes up a slow question only when somebody asks who was first, and tells that only when the slow one is on record."""

        async def generate(self, output_type: type[Output], **asked: Any) -> Reply[Output]:
            if asked["question"].startswith("first"):
                self.free.set()
                async with asyncio.timeout(LIMIT_S):
                    while len(await steps_of(crew.ground, crew.key())) < 2:
                        await crew.ground.connection.client.flush()
            return await super().generate(output_type, **asked)

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        both = {asyncio.ensure_future(say(ctx, name)) for name in ("slow", "quick")}
        first, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        said = await say(ctx, f"first of {len(first)} was {first.pop().result()}")
        await asyncio.wait(both)
        await lives.linger()
        return said

    model = Late()
    model.held.add("slow")
    model.free.clear()
    lives = Lives(crew, handle, model=model)
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    await lives.begin()
    result = await crew.result(crew.key())
    assert result.output is not None
    assert result.output["text"] == "first of 1 was quick#2#3"


async def test_what_was_read_is_seen_again(crew: Crew) -> None:
    class Drifting(ListMemory):
        async def search(self, query: str, *, scope: Sequence[str] = (), limit: int = 8) -> Hits:
            self.queries.append(query)
            found = record(f"r-{len(self.queries)}", f"text {len(self.queries)}")
            return Hits(hits=(Hit(record=found, score=1.0, similarity=1.0),))

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        found = await ctx.memory.search("what?")
        said = await say(ctx, found.hits[0].record.text)
        await lives.linger()
        later = await ctx.memory.search("what?")
        return f"{said} {later.hits[0].record.text}"

    memory = Drifting()
    lives = Lives(crew, handle, memory=memory)
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    await lives.begin()
    result = await crew.result(crew.key())
    assert result.output is not None
    assert result.output["text"] == "text 1#1 text 2"
    assert len(memory.queries) == 2
    assert lives.model.asked == ["text 1"]
    assert len(await steps_of(crew.ground, crew.key())) == 1, "a search costs no write of its own"


async def test_a_failure_is_kept_and_raised_again_as_what_it_was(crew: Crew) -> None:
    raised: list[Exception] = []

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        try:
            await say(ctx, "one")
        except ModelUnavailable as error:
            raised.append(error)
        await lives.linger()
        return await say(ctx, "instead")

    lives = Lives(crew, handle)
    lives.model.errors["one"] = ModelUnavailable("down", retry_after_s=3.0)
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    lives.model.errors.clear()
    await lives.begin()
    assert (await crew.result(crew.key())).failure is None
    assert lives.model.asked == ["one", "instead"]
    assert [(str(one), vars(one).get("retry_after_s")) for one in raised] == [("down", 3.0)] * 2


async def test_an_effect_that_the_handler_gave_up_stays_given_up(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        try:
            async with asyncio.timeout(0.7):  # longer than a replay waits for what does not come
                return await say(ctx, "slow")
        except TimeoutError:
            said = "gave up"
        lives.model.free.set()
        said += await say(ctx, "instead")
        await lives.linger()
        return said

    lives = Lives(crew, handle)
    lives.model.free.clear()
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    await lives.begin()
    result = await crew.result(crew.key())
    assert result.output is not None
    assert result.output["text"] == "gave upinstead#2"
    assert lives.model.asked == ["slow", "instead"]


async def test_a_big_outcome_goes_by_reference_and_comes_back(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        said = await say(ctx, "big")
        await lives.linger()
        return str(len(said))

    lives = Lives(crew, handle)
    lives.model.padding = "x" * 1_000_000
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    await lives.begin()
    result = await crew.result(crew.key())
    assert result.output is not None
    assert result.output["text"] == str(1_000_000 + len("big#1"))
    assert lives.model.asked == ["big"]


async def test_what_an_agent_remembers_is_the_same_record_each_time(crew: Crew) -> None:
    class Kept(ListMemory):
        def __init__(self) -> None:
            super().__init__()
            self.added: list[Any] = []

        async def add(self, records: Sequence[Any]) -> int:
            self.added += records
            return len(records)

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return await ctx.memory.remember("It rains.", source="weather")

    memory = Kept()
    await Lives(crew, handle, memory=memory).begin()
    for attempt in (1, 2):
        await crew.put(crew.key(attempt=attempt))
        result = await crew.result(crew.key(attempt=attempt))
        assert result.output is not None
        assert result.output["text"] == memory.added[0].id
    one, two = memory.added
    assert one.id == two.id
    assert (one.text, one.source, one.root, one.writer) == ("It rains.", "weather", f"agents/{ROLE}", ROLE)


# Death


@pytest.mark.parametrize(
    ("where", "thoughts"),
    [
        ("agent.before_look", ["one", "two after one!"]),
        ("agent.step.before_record@2", ["one", "two after one!", "two after one!"]),
        ("agent.step.recorded", ["one", "two after one!"]),
        ("agent.step.recorded@2", ["one", "two after one!"]),
        ("agent.before_result", ["one", "two after one!"]),
        ("agent.before_ack", ["one", "two after one!"]),
    ],
)
async def test_a_process_that_is_killed_leaves_its_steps_to_another(
    crew: Crew, tmp_path: Path, where: str, thoughts: list[str]
) -> None:
    file = tmp_path / "thoughts"
    name, _, visit = where.partition("@")
    words = [crew.ground.url, crew.ground.subjects.prefix, str(file)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.integration.mortal_agent", *words),
        env={**os.environ, failpoints.VARIABLE: f"{name}=kill@{visit or 1}"},
    )
    await crew.put(crew.key())
    async with asyncio.timeout(LIMIT_S):
        assert await process.wait() == -signal.SIGKILL
    began = asyncio.get_running_loop().time()
    await crew.serve(Shouter(think), model=FileModel(file))
    result = await crew.result(crew.key())
    await crew.ground.settled(crew.ground.subjects.tasks_stream(ROLE), 0)
    assert asyncio.get_running_loop().time() - began < 1.5 + 1.5, "at most its lease, and a moment"
    assert result.output is not None
    assert result.output["text"] == "two after one!!"
    assert result.usage.model_calls == 2
    assert file.read_text().splitlines() == thoughts


# Other code


async def test_a_digest_that_differs_ends_the_attempt_and_names_both(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        try:
            said = await say(ctx, f"version {lives.alive}")
        except Exception:  # noqa: BLE001 (handlers do such things)
            return "swallowed"
        await lives.linger()
        return said

    lives = Lives(crew, handle)
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    (step,) = await steps_of(crew.ground, crew.key())
    await lives.begin()
    result = await crew.result(crew.key())
    assert result.failure is not None
    assert (result.failure.kind, result.failure.error) == ("retryable", "JournalMismatch")
    assert f"step 0 is recorded as model 'Line' with input {step.digest[:12]}" in result.failure.message
    assert result.failure.message.count("model 'Line' with input") == 2
    assert "version" not in result.failure.message
    assert result.usage.model_calls == 1, "what was paid for is told"
    assert lives.model.asked == ["version 1"]


async def test_effects_in_another_order_end_the_attempt(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        for question in ("one", "two") if lives.alive == 1 else ("two", "one"):
            await say(ctx, question)
        await lives.linger()
        return "done"

    lives = Lives(crew, handle)
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    await lives.begin()
    assert (await crew.failure(crew.key())).error == "JournalMismatch"
    assert lives.model.asked == ["one", "two"]


async def test_a_handler_that_asks_for_less_than_is_on_record_has_changed(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        if lives.alive == 1:
            await say(ctx, "one")
        await lives.linger()
        return "done"

    lives = Lives(crew, handle)
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    await lives.begin()
    failure = await crew.failure(crew.key())
    assert failure.error == "JournalMismatch"
    assert "nothing any more" in failure.message


async def test_an_output_of_another_type_than_is_on_record_ends_the_attempt(crew: Crew) -> None:
    class Other(BaseModel):
        number: int

    Other.__name__ = "Line"

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        output: type[BaseModel] = Line if lives.alive == 1 else Other
        await ctx.model.generate(output, instructions="say", question="one")
        await lives.linger()
        return "done"

    lives = Lives(crew, handle)
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    await lives.begin()
    failure = await crew.failure(crew.key())
    assert failure.error == "JournalMismatch"
    assert "another type" in failure.message


async def test_a_new_attempt_starts_clean(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        said = await say(ctx, "one")
        if ctx.key.attempt == 1:
            raise TaskRetryable("once more")
        return said

    lives = Lives(crew, handle)
    await lives.begin()
    await crew.put(crew.key())
    assert (await crew.failure(crew.key())).error == "TaskRetryable"
    await crew.put(crew.key(attempt=2))
    result = await crew.result(crew.key(attempt=2))
    assert result.output is not None
    assert result.output["text"] == "one#2"


# Junk, and what does not fit


@pytest.mark.parametrize("when", ["before", "behind"])
async def test_junk_among_the_steps_counts_for_nothing(crew: Crew, when: str) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        said = await say(ctx, "one")
        await lives.linger()
        return said

    store, subjects = crew.ground.connection.jetstream.store, crew.ground.subjects
    lives = Lives(crew, handle)
    if when == "before":
        await store(subjects.step(crew.key(), 0), b"junk")
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    if when == "behind":
        await store(subjects.step(crew.key(), 0), b"junk")
        other = Step(position=0, kind="model", name="Line", digest="0" * 64, output="forged")
        await store(subjects.step(crew.key(), 0), await _packed(crew, other))
        await store(subjects.intent(crew.key(), 7), b"junk")
        await store(f"{subjects.step(crew.key(), 0)}.what.is.this", b"junk")
    await lives.begin()
    result = await crew.result(crew.key())
    assert result.output is not None
    assert result.output["text"] == "one#1"
    assert lives.model.asked == ["one"]


async def _packed(crew: Crew, step: Step) -> bytes:
    from stretto.bus.envelope import Envelope

    run = crew.key().run
    return await crew.ground.wire.pack(Envelope.of(step, tenant=run.tenant, run=run.run, sender="somebody"))


@pytest.mark.parametrize("bad", [object(), float("nan"), {1: 2}], ids=["object", "nan", "key"])
async def test_an_outcome_that_json_cannot_say_fails_for_good_and_is_not_done_again(crew: Crew, bad: Any) -> None:
    calls: list[int] = []

    async def odd() -> Any:
        calls.append(1)
        return bad

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return str(await ctx.step("odd", None, odd))

    await Lives(crew, handle).begin()
    await crew.put(crew.key())
    failure = await crew.failure(crew.key())
    assert failure.kind == "permanent"
    assert "'odd' returned what JSON cannot say" in failure.message
    (step,) = await steps_of(crew.ground, crew.key())
    assert step.end == "failed"
    assert calls == [1]


@pytest.mark.parametrize("much", [list(range(10_001)), 10**30, "half \ud800"], ids=["list", "integer", "half"])
async def test_an_outcome_that_cannot_be_packed_fails_for_good(crew: Crew, much: JsonValue) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return str(await ctx.step("much", None, lambda: _give(much)))

    await Lives(crew, handle).begin()
    await crew.put(crew.key())
    failure = await crew.failure(crew.key())
    assert (failure.kind, failure.error) == ("permanent", "TooLarge")
    (step,) = await steps_of(crew.ground, crew.key())
    assert step.failure == EffectFailure(
        error="TooLarge", module="stretto.bus.errors", message=failure.message, arguments=(failure.message,)
    )


async def test_an_input_that_json_cannot_say_fails_for_good(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return str(await ctx.step("odd", {"at": datetime.now(UTC)}, lambda: _give(1)))  # type: ignore[dict-item]

    await Lives(crew, handle).begin()
    await crew.put(crew.key())
    assert "input of 'odd'" in (await crew.failure(crew.key())).message


# Tools


async def test_a_tool_is_called_by_name_and_an_unknown_one_is_named(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        assert ctx.tools.names == ("weather",)
        if ctx.key.attempt == 2:
            await ctx.tools.call("wether")
        return str(await ctx.tools.call("weather", {"city": "Ulm"}))

    await Lives(crew, handle, tools=[FakeTool("weather", "none")]).begin()
    await crew.put(crew.key())
    result = await crew.result(crew.key())
    assert result.output is not None
    assert result.output["text"] == "{'done': 1, 'city': 'Ulm'}"
    assert result.usage == Usage(tool_calls=1)
    await crew.put(crew.key(attempt=2))
    failure = await crew.failure(crew.key(attempt=2))
    assert (failure.kind, failure.error) == ("misconfigured", "ToolUnknown")
    assert "weather" in failure.message


async def test_a_keyed_tool_whose_outcome_is_unknown_is_called_again_with_its_key(crew: Crew) -> None:
    tool = FakeTool("pay", "keyed")

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return str(await ctx.tools.call("pay", {"euros": 5}))

    lives = Lives(crew, handle, tools=[tool])
    tool.free.clear()
    await lives.begin()
    await crew.put(crew.key())
    async with asyncio.timeout(LIMIT_S):
        await tool.busy.wait()
    (intent,) = (await look(crew.ground, crew.key())).intents
    assert isinstance(intent, Intent)
    await lives.end()
    tool.free.set()
    await lives.begin()
    result = await crew.result(crew.key())
    assert result.output is not None
    assert result.output["text"] == "{'done': 2, 'euros': 5}"
    assert tool.keys == [intent.key, intent.key]


async def test_another_attempt_keeps_a_tools_key_and_another_call_has_another(crew: Crew) -> None:
    tool = FakeTool("pay", "keyed")

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        for euros in (5, 5, 6):
            await ctx.tools.call("pay", {"euros": euros})
        key = str(await ctx.step("own", None, _give, effects="keyed"))
        if ctx.key.attempt == 1:
            raise TaskRetryable(key)
        return key

    await Lives(crew, handle, tools=[tool]).begin()
    await crew.put(crew.key())
    failure = await crew.failure(crew.key())
    await crew.put(crew.key(attempt=2))
    result = await crew.result(crew.key(attempt=2))
    assert tool.keys[:3] == tool.keys[3:]
    assert len(set(tool.keys)) == 3
    assert result.output is not None
    assert result.output["text"] == failure.message
    other = crew.key("t2")
    await crew.put(other)
    await crew.result(other)
    assert not set(tool.keys[6:]) & set(tool.keys[:6])


async def test_two_lives_side_by_side_agree_on_one_outcome_and_the_loser_stops(crew: Crew) -> None:
    """A zombie: its lease ran out while it was in a call, and another has the task."""
    later: list[str] = []

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        said = await say(ctx, "one")
        later.append(said)
        return f"{said} {await say(ctx, 'two')}"

    zombie, successor = Lives(crew, handle), Lives(crew, handle)
    zombie.model.padding = " of the zombie"
    zombie.model.free.clear()
    await zombie.begin()
    await crew.put(crew.key())
    async with asyncio.timeout(LIMIT_S):
        await zombie.model.busy.wait()
    zombie.worker.stop()
    # To the server the zombie is dead: its message is queued anew, as after a crash of the server.
    await crew.ground.connection.jetstream.api(f"STREAM.PURGE.{crew.ground.subjects.tasks_stream(ROLE)}")
    await successor.begin()
    await crew.put(crew.key())
    result = await crew.result(crew.key())
    zombie.model.free.set()
    await zombie.over()
    assert later == ["one#1", "one#1"], "the loser takes the winner's outcome"
    assert zombie.model.asked == ["one"], "and stops before its next effect"
    assert result.output is not None
    assert result.output["text"] == "one#1 two#2"
    stored = [one for one in await crew.ground.log.fold(crew.key().run) if ".result." in one.subject]
    assert len(stored) == 1
    assert open_envelope(await crew.ground.wire.unpack(stored[0].data, stored[0].headers), TaskResult) == result


# The cost


async def test_the_look_costs_one_request(crew: Crew) -> None:
    requests: list[str] = []

    async def note(msg: Any) -> None:
        requests.append(msg.subject)

    async def handle(ctx: TaskContext, lives: Lives) -> str:
        for number in range(3):
            await say(ctx, str(number))
        await lives.linger()
        return "done"

    lives = Lives(crew, handle)
    await lives.begin()
    await crew.put(crew.key())
    await lives.arrived()
    listener = await crew.ground.connect("listener")
    await listener.subscribe("$JS.API.DIRECT.GET.>", note)
    await listener.client.flush()
    await lives.begin()
    await crew.result(crew.key("t1"))
    shard = crew.ground.shard
    await listener.client.flush()
    looks = [one for one in requests if one == f"$JS.API.DIRECT.GET.{shard}"]
    assert len(looks) == 1
    own = f"$JS.API.DIRECT.GET.{shard}.{crew.ground.subjects.result(crew.key())}"
    assert set(requests) <= {f"$JS.API.DIRECT.GET.{shard}", own}, "the test itself asks for the result"


async def test_a_deadline_that_passed_while_nobody_worked_ends_the_attempt(crew: Crew) -> None:
    async def handle(ctx: TaskContext, lives: Lives) -> str:
        return await say(ctx, "one")

    lives = Lives(crew, handle)
    lives.model.free.clear()
    await lives.begin()
    await crew.put(crew.key(), deadline=datetime.now(UTC) - timedelta(seconds=1))
    failure = await crew.failure(crew.key())
    assert (failure.kind, failure.message) == ("retryable", "not finished within its time")
