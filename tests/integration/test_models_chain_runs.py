"""Runs whose first models fail: the next one answers, and the run says so, live, in its log and in its answer."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from stretto.agents.context import TaskContext
from stretto.agents.panel import Panel
from stretto.bus.client import LiveMessage, RunMessage
from stretto.bus.envelope import open_envelope
from stretto.bus.registry import Registry
from stretto.bus.run_log import RunLog
from stretto.bus.step import Step
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects, TaskKey
from stretto.cli.status import status
from stretto.shared.contracts.answer import Answer as RunAnswer
from stretto.shared.contracts.ensemble import Ensemble
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.step import ModelOutcome
from stretto.shared.contracts.task import TaskResult
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import Providers
from stretto.shared.settings import Settings
from tests.integration.dialects import DIALECTS
from tests.integration.provider_server import Answer, ProviderServer
from tests.integration.world import Given, World, agent_of, open_world

CHAT = DIALECTS[1]
ONE = """
roles: {work: works}
tasks:
  - {id: only, role: work%s}
answer: only
"""
NAMES = ("busy", "broken", "stuck", "good")


class Line(BaseModel):
    text: str


async def think(task: Given, ctx: TaskContext) -> BaseModel:
    return (await ctx.model.generate(Line, instructions="Say a word.", question=task.request)).output


@pytest.fixture
async def world(nats_url: str, prefix: str, tmp_path: Path) -> AsyncGenerator[World]:
    deployment = Deployment(subjects=Subjects(prefix), shards=1)
    async with open_world(nats_url, deployment, tmp_path) as world:
        world.playbook("one", ONE % "")
        yield world


@pytest.fixture
async def servers() -> AsyncIterator[dict[str, ProviderServer]]:
    async with contextlib.AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(ProviderServer()) for name in NAMES}


@pytest.fixture
async def providers(servers: dict[str, ProviderServer]) -> AsyncIterator[Providers]:
    settings = {
        name: ProviderSettings(base_url=server.url, time_limit_s=0.3 if name == "stuck" else 30.0)
        for name, server in servers.items()
    }
    async with Providers(settings, environment={}) as providers:
        yield providers


def says(text: str, *, streamed: bool = True) -> Answer:
    """Replies are streamed to whoever watches; those of several models side by side are not."""
    said = Line(text=text).model_dump_json()
    return CHAT.streams(said) if streamed else CHAT.says(said)


def busy(retry_after_s: float) -> Answer:
    return Answer({"error": {"message": "secret"}}, status=429, headers={"retry-after": str(retry_after_s)})


def chain(providers: Providers, *names: str) -> ModelChain:
    return ModelChain([f"{name}:m" for name in names], open_model=providers.model, breakers=Breakers())


async def follow(world: World, run: str) -> tuple[RunAnswer, TaskResult, list[str]]:
    """The answer, the last result, and what was told meanwhile."""
    result, notes = None, list[str]()
    async for event in world.client.events(run):
        match event:
            case RunMessage() if event.subject.kind == "result":
                result = open_envelope(event.envelope, TaskResult)
            case RunMessage() if event.subject.kind == "answer":
                assert result is not None
                return open_envelope(event.envelope, RunAnswer), result, notes
            case LiveMessage():
                notes.append(open_envelope(event.envelope, Progress).text)
            case _:
                pass
    raise AssertionError("the run has no answer")


async def recorded(world: World, run: str, attempt: int = 1) -> list[ModelOutcome]:
    """What is on record of the attempt's replies."""
    key = TaskKey(world.client.key(run), "work", "only", attempt)
    log = RunLog(connection=world.connection, subjects=world.subjects, wire=world.wire)
    stored = await world.connection.jetstream.last_of(world.subjects.runs_stream(0), [world.subjects.steps(key)])
    steps = [one[1] for step in stored if (one := await log.read(step, key.run, Step))]
    return [ModelOutcome.model_validate(step.output) for step in steps if step.end == "done"]


async def test_the_next_model_answers_and_the_run_says_who_was_passed_over_and_why(
    world: World, servers: dict[str, ProviderServer], providers: Providers
) -> None:
    servers["busy"].script(busy(7))
    servers["broken"].script(Answer({"error": {"message": "secret"}}, status=500))
    servers["stuck"].script(CHAT.streams_parts(asyncio.Event()))
    servers["good"].script(says("yes"))
    await world.supervise("s1")
    await world.serve(agent_of("work", think, Line), "w1", chain(providers, *NAMES))
    run = await world.client.submit(Request(text="which?", playbook="one"))
    answer, result, notes = await follow(world, run)
    assert (answer.state, answer.text, answer.reason) == ("completed", "yes", "")
    assert result.attempt == 1
    (outcome,) = await recorded(world, run)
    assert [(hop.model, hop.reason) for hop in outcome.hops] == [
        ("busy:m", "RateLimited"),
        ("broken:m", "ModelUnavailable"),
        ("stuck:m", "TimedOut"),
    ]
    assert result.remarks == (
        "good:m answered in place of busy:m: it takes no more requests for now.",
        "good:m answered in place of broken:m: it did not answer.",
        "good:m answered in place of stuck:m: it took too long.",
    )
    assert answer.remarks == result.remarks
    assert "busy:m is passed over (RateLimited): the next model is asked" in notes
    assert "secret" not in outcome.model_dump_json()

    async with Registry(connection=world.connection, subjects=world.subjects) as registry:
        assert await registry.wait_for("work", timeout_s=10)
        (card,) = registry.alive("work")
    assert card.models == tuple(f"{name}:m" for name in NAMES)
    assert [(one.model, one.last_failure) for one in card.health] == [
        ("busy:m", "RateLimited"),
        ("broken:m", "ModelUnavailable"),
        ("stuck:m", "TimedOut"),
        ("good:m", ""),
    ]
    assert card.health[3].last_success_at is not None


async def test_status_shows_how_the_models_of_each_agent_did(
    world: World, servers: dict[str, ProviderServer], providers: Providers, capsys: pytest.CaptureFixture[str]
) -> None:
    servers["busy"].script(busy(7))
    servers["good"].script(says("yes"))
    await world.supervise("s1")
    await world.serve(agent_of("work", think, Line), "w1", chain(providers, "busy", "good"))
    await world.ask(playbook="one")
    settings = Settings(nats_url=world.url, prefix=world.subjects.prefix, shards=1)
    assert await status(settings, as_json=True) == 0
    first, second = json.loads(capsys.readouterr().out)["models"]
    assert (first["role"], first["agent"], first["model"], first["state"]) == ("work", "w1", "busy:m", "ready")
    assert (first["last_failure"], first["last_success_at"]) == ("RateLimited", None)
    assert (second["model"], second["last_failure"]) == ("good:m", "")
    assert second["last_success_at"] is not None
    assert await status(settings, as_json=False) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("busy:m")]
    assert len(shown) == 1
    assert "RateLimited, " in shown[0]


async def test_when_all_fail_the_task_comes_back_no_earlier_than_the_first_of_them_wants(
    world: World, servers: dict[str, ProviderServer], providers: Providers
) -> None:
    servers["busy"].script(busy(2.5), says("later"))
    servers["good"].script(busy(60))
    await world.supervise("s1")
    await world.serve(agent_of("work", think, Line), "w1", chain(providers, "busy", "good"))
    run = await world.client.submit(Request(text="which?", playbook="one"))
    answer = await world.answer(run)
    assert answer.text == "later"
    facts = [fact async for fact in world.client.events(run) if isinstance(fact, RunMessage)]
    first, second = [fact for fact in facts if fact.subject.kind == "result"]
    failure = open_envelope(first.envelope, TaskResult).failure
    assert failure is not None
    assert (failure.kind, failure.retry_after_s) == ("retryable", 2.5)
    assert "busy:m: RateLimited" in failure.message
    assert "good:m: RateLimited" in failure.message
    assert (second.at - first.at).total_seconds() >= 2.5


async def test_a_playbook_asks_several_models_and_one_of_them_may_fail(
    world: World, servers: dict[str, ProviderServer], providers: Providers
) -> None:
    world.playbook("vote", ONE % ', ensemble: {models: ["good:a", "good:b", "busy:m"]}')

    def panel_of(ensemble: Ensemble) -> Panel:
        models = tuple(chain(providers, name.partition(":")[0]) for name in ensemble.models)
        return Panel(models, chain(providers, "stuck"), ensemble.choose)

    servers["busy"].script(busy(7))
    servers["good"].script(says("yes", streamed=False), says("yes", streamed=False))
    await world.supervise("s1")
    await world.serve(agent_of("work", think, Line), "w1", chain(providers, "stuck"), panel_of=panel_of)
    run = await world.client.submit(Request(text="which?", playbook="vote"))
    answer, _, _ = await follow(world, run)
    assert (answer.state, answer.text) == ("completed", "yes")
    assert answer.remarks == ("good:m answered in place of busy:m: it takes no more requests for now.",)
    assert [one.text for one in await recorded(world, run)] == ["", "", "said by 2 of 2"]
    assert servers["stuck"].requests == []
