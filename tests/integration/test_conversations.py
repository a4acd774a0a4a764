"""Runs of one conversation know what the runs before them asked and answered."""

import json
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.agents.errors import TaskPermanent
from stretto.bus.client import Client
from stretto.bus.codec import encode
from stretto.bus.envelope import Envelope, new_id, open_envelope
from stretto.bus.step import Step
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey, Subjects
from stretto.cli.conversations import list_conversations, show_conversation
from stretto.cli.errors import UsageFailed
from stretto.shared.contracts.conversation import Turn
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.usage import Usage
from stretto.shared.conversations import Conversations
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from stretto.shared.requester import Requester
from stretto.shared.settings import Settings
from tests.integration.world import Given, Made, World, agent_of, eventually, open_world

ECHO = """
roles: {echo: says it again}
tasks:
  - {id: text, role: echo}
answer: text
"""
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Listener:
    """A model that keeps what it was given, and has room for so many tokens."""

    name = "listener"

    def __init__(self, context_tokens: int | None = None) -> None:
        self.context_tokens = context_tokens
        self.given: list[Sequence[Document]] = []

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        self.given.append(documents)
        output = output_type.model_validate({"text": f"This is said of {question}."})
        return Reply(output=output, model=self.name, usage=Usage(model_calls=1))


async def say(task: Given, ctx: TaskContext) -> BaseModel:
    if task.request == "fail":
        raise TaskPermanent("as it was told")
    return (await ctx.model.generate(Made, instructions="say it", question=task.request)).output


@pytest.fixture
def deployment(prefix: str) -> Deployment:
    return Deployment(subjects=Subjects(prefix), shards=2, run_lease_s=3.0, pin_s=1.5, task_lease_s=2.0)


@pytest.fixture
async def world(nats_url: str, deployment: Deployment, tmp_path: Path) -> AsyncGenerator[World]:
    async with open_world(nats_url, deployment, tmp_path) as world:
        world.playbook("echo", ECHO)
        yield world


def conversations(world: World, tenant: str = "default") -> Conversations:
    return Conversations(world.connection, world.subjects, world.wire, tenant, "a-test")


async def turns_are_kept(world: World) -> None:
    """Wait until a supervisor has made their stream."""

    async def there() -> bool:
        return "error" not in await world.connection.jetstream.api(f"STREAM.INFO.{world.subjects.stream('TURNS')}")

    await eventually(there)


async def test_a_follow_up_is_given_what_was_said_before(world: World) -> None:
    model = Listener()
    await world.supervise("s1")
    await world.serve(agent_of("echo", say), "e1", model=model)
    for text in ("parcels", "letters", "and abroad"):
        answer = await world.ask(text, playbook="echo", conversation="post")
        assert answer.state == "completed", answer.reason
    assert [[one.text for one in given] for given in model.given] == [
        [],
        ["Asked: parcels\nAnswered: This is said of parcels."],
        [
            "Asked: parcels\nAnswered: This is said of parcels.",
            "Asked: letters\nAnswered: This is said of letters.",
        ],
    ]
    assert {one.kind for given in model.given for one in given} == {"turn"}
    await world.ask("else", playbook="echo", conversation="other")
    await world.ask("none", playbook="echo")
    assert model.given[-2:] == [(), ()]


async def test_another_channel_joins_by_the_conversation_alone(world: World) -> None:
    """A bare JSON object on the subject of a request, as `nats pub` writes it, from another principal."""
    model = Listener()
    await world.supervise("s1")
    await world.serve(agent_of("echo", say), "e1", model=model)
    await world.ask("parcels", playbook="echo", conversation="post")
    run = new_id()
    key = RunKey.of("default", run, world.deployment.shards)
    message = {"type": "request", "body": {"text": "and abroad", "playbook": "echo", "conversation": "post"}}
    subject = world.subjects.request(key, "phone")
    await world.connection.jetstream.store(subject, json.dumps(message).encode())
    assert (await world.answer(run)).state == "completed"
    assert [one.text for one in model.given[1]] == ["Asked: parcels\nAnswered: This is said of parcels."]
    assert [turn.request for turn in await conversations(world).turns("post")] == ["parcels", "and abroad"]


async def test_tenants_never_meet(world: World, deployment: Deployment) -> None:
    model = Listener()
    await world.supervise("s1")
    await world.serve(agent_of("echo", say), "e1", model=model)
    await world.ask("secret", playbook="echo", conversation="post")
    other = Client(connection=world.connection, deployment=deployment, tenant="other")
    run = await other.submit(Request(text="what", playbook="echo", conversation="post"))
    await other.result(run, timeout_s=30)
    assert model.given == [(), ()]
    assert [turn.request for turn in await conversations(world, "other").turns("post")] == ["what"]
    assert await conversations(world, "other").names() == {"post": 1}


async def test_a_turn_that_says_another_origin_counts_for_nothing(world: World) -> None:
    await world.supervise("s1")
    await turns_are_kept(world)
    mine = conversations(world)
    turn = Turn(run="r1", request="asked", answer="answered", at=AT)
    subject = world.subjects.turn("default", "post", "r1")
    await world.connection.jetstream.store(subject, b"junk")
    await conversations(world, "other").add("post", turn)
    there = world.subjects.turn("other", "post", "r1")
    (stolen,) = await world.connection.jetstream.read(world.subjects.stream("TURNS"), there)
    await world.connection.jetstream.store(subject, stolen.data)
    assert await mine.turns("post") == []
    await mine.add("post", turn)
    await mine.add("post", turn.model_copy(update={"answer": "again"}))
    assert await mine.turns("post") == [turn]


async def test_what_failed_is_no_turn(world: World) -> None:
    await world.supervise("s1")
    await world.serve(agent_of("echo", say), "e1", model=Listener())
    assert (await world.ask("fail", playbook="echo", conversation="post")).state == "failed"
    assert await conversations(world).turns("post") == []


async def test_a_turn_is_there_once_when_the_supervisor_dies_before_the_answer(world: World) -> None:
    """It is written before the answer. Here another process has written it, and has answered no more."""
    model = Listener()
    await world.supervise("s1")
    await turns_are_kept(world)
    run = await world.client.submit(Request(text="parcels", playbook="echo", conversation="post"))
    first = Turn(run=run, request="parcels", answer="This is said of parcels.", at=AT)
    await conversations(world).add("post", first)
    await world.serve(agent_of("echo", say), "e1", model=model)
    assert (await world.answer(run)).state == "completed"
    assert await conversations(world).turns("post") == [first]
    assert model.given == [()]  # its own turn is nothing that was said before


async def test_five_hundred_turns_fit_and_what_had_no_room_is_recorded(world: World) -> None:
    model = Listener(context_tokens=2_000)
    await world.supervise("s1")
    await turns_are_kept(world)
    for number in range(500):
        turn = Turn(run=f"r{number}", request=f"question {number}", answer="A long answer. " * 200, at=AT)
        envelope = Envelope.of(turn, tenant="default", run=turn.run, sender="a-test")
        await world.connection.publish(world.subjects.turn("default", "post", turn.run), encode(envelope))

    async def all_there() -> bool:
        return await world.depth(world.subjects.stream("TURNS")) == 500

    await eventually(all_there)
    await world.serve(agent_of("echo", say), "e1", model=model)
    run = await world.client.submit(Request(text="and abroad", playbook="echo", conversation="post"))
    assert (await world.answer(run)).state == "completed"
    (given,) = model.given
    assert 0 < sum(len(one.text) for one in given) < 4_000
    assert given[-1].text.startswith("Asked: question 499\n")
    log = await world.client.log(run)
    decision = next(one for one in log if one.subject.kind == "decision")
    assert len(decision.envelope.model_dump_json()) < 40_000
    steps = await world.connection.jetstream.read(
        world.subjects.runs_stream(world.client.key(run).shard), world.subjects.steps_of_run(world.client.key(run))
    )
    step = open_envelope(await world.wire.unpack(steps[0].data, steps[0].headers), Step)
    assert "were left out: no room" in json.dumps(step.output)


async def test_the_client_asks_in_a_conversation_and_the_commands_show_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.supervise("s1")
    await world.serve(agent_of("echo", say), "e1", model=Listener())
    requester = Requester(client=world.client)
    with pytest.raises(ValueError, match="conversation"):
        await requester.ask("no", conversation="Not a token")
    run = await requester.submit(Request(text="parcels", playbook="echo"), conversation="post")
    assert (await requester.result(run, timeout_s=30)).state == "completed"
    settings = Settings(nats_url=world.url, prefix=world.subjects.prefix, shards=world.deployment.shards)
    await list_conversations(settings, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"conversations": [{"conversation": "post", "turns": 1}]}
    await show_conversation(settings, "post", as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert [(one["run"], one["request"], one["answer"]) for one in shown["turns"]] == [
        (run, "parcels", "This is said of parcels.")
    ]
    await show_conversation(settings, "post", as_json=False)
    assert capsys.readouterr().out.endswith(f"run {run}\n> parcels\nThis is said of parcels.\n")
    with pytest.raises(UsageFailed, match="there is no conversation other"):
        await show_conversation(settings, "other", as_json=False)
