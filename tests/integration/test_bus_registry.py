"""The registry: who serves what just now, without a list that could be wrong."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from functools import partial

import pytest

from stretto.bus.agent_card import AgentCard
from stretto.bus.codec import encode
from stretto.bus.envelope import Envelope
from stretto.bus.registry import Announcer, Registry
from tests.integration.ground import LIMIT_S, Ground, open_ground


@pytest.fixture
async def ground(nats_url: str, prefix: str) -> AsyncGenerator[Ground]:
    async with open_ground(nats_url, prefix) as ground:
        yield ground


def card(role: str = "writer", instance: str = "w1", **fields: object) -> AgentCard:
    known = {
        "role": role,
        "instance": instance,
        "version": "1.2.3",
        "description": "writes",
        "started_at": datetime.now(UTC),
    }
    return AgentCard.model_validate({**known, **fields})


def registry_of(ground: Ground) -> Registry:
    return Registry(connection=ground.connection, subjects=ground.subjects)


@contextlib.asynccontextmanager
async def announced(ground: Ground, *cards: AgentCard) -> AsyncGenerator[None]:
    """Processes that announce themselves, each on a connection of its own, and say goodbye at the end."""
    async with asyncio.TaskGroup() as group:
        running: list[asyncio.Task[None]] = []
        for one in cards:
            connection = await ground.connect()
            announcer = Announcer(
                connection=connection, subjects=ground.subjects, card=partial(AgentCard.model_copy, one)
            )
            running.append(group.create_task(announcer.run()))
        try:
            yield
        finally:
            for announcing in running:
                announcing.cancel()


async def heard(ground: Ground, registry: Registry, *instances: str) -> None:
    """Return as soon as the registry knows exactly these."""
    async with asyncio.timeout(LIMIT_S):
        while [one.instance for one in registry.alive()] != list(instances):
            await ground.connection.client.flush()


async def test_it_knows_who_announces_itself_and_who_says_goodbye(ground: Ground) -> None:
    async with registry_of(ground) as registry:
        assert registry.alive() == []
        async with announced(ground, card("writer", "w1"), card("writer", "w2"), card("reviewer", "r1")):
            assert await registry.wait_for("writer", "reviewer", timeout_s=LIMIT_S)
            await heard(ground, registry, "r1", "w1", "w2")
            assert [one.instance for one in registry.alive("writer")] == ["w1", "w2"]
            assert registry.serves("reviewer")
            assert not registry.serves("planner")
            assert registry.roles() == {"writer", "reviewer"}
        await heard(ground, registry)
        assert not registry.serves("writer")


async def test_a_roll_call_finds_who_was_there_before(ground: Ground) -> None:
    async with announced(ground, card()):
        async with registry_of(ground) as first:
            assert await first.wait_for("writer", timeout_s=LIMIT_S)
        began = asyncio.get_running_loop().time()
        async with registry_of(ground) as second:
            assert await second.wait_for("writer", timeout_s=LIMIT_S)
            assert asyncio.get_running_loop().time() - began < 1.0, "sooner than the next heartbeat"


async def test_waiting_for_a_role_that_nobody_serves_ends(ground: Ground) -> None:
    async with registry_of(ground) as registry:
        assert not await registry.wait_for("nobody", timeout_s=0.1)


async def test_who_dies_without_a_word_is_forgotten(ground: Ground) -> None:
    async with registry_of(ground) as registry:
        envelope = Envelope.of(card(), tenant="system", run="system", sender="w1")
        await ground.connection.publish(ground.subjects.beat("writer", "w1"), encode(envelope))
        assert await registry.wait_for("writer", timeout_s=LIMIT_S)
        gone = asyncio.get_running_loop().time() + LIMIT_S
        while registry.serves("writer"):
            assert asyncio.get_running_loop().time() < gone
            await registry.wait_for("nobody", timeout_s=0.25)  # the clock is all there is to wait for


async def test_junk_among_the_announcements_is_passed_over(ground: Ground, caplog: pytest.LogCaptureFixture) -> None:
    subjects = ground.subjects
    mine = encode(Envelope.of(card(), tenant="system", run="system", sender="w1"))
    async with registry_of(ground) as registry:
        await ground.connection.publish(subjects.beat("writer", "junk"), b"\x00junk")
        await ground.connection.publish(subjects.beat("writer", "someone-else"), mine)
        await ground.connection.publish(subjects.beat("reviewer", "w1"), mine)
        await ground.connection.publish(f"{subjects.prefix}.beat.too.many.tokens", mine)
        await ground.connection.publish(subjects.beat("writer", "w1"), mine)
        assert await registry.wait_for("writer", timeout_s=LIMIT_S)
        assert [(one.role, one.instance) for one in registry.alive()] == [("writer", "w1")]
    assert "not an agent card" in caplog.text


async def test_the_tools_for_micro_services_find_it(ground: Ground) -> None:
    async with registry_of(ground) as registry, announced(ground, card()):
        assert await registry.wait_for("writer", timeout_s=LIMIT_S)
        name = f"{ground.subjects.prefix}-writer"
        for verb in ("PING", "INFO", "STATS"):
            reply = json.loads((await ground.connection.request(f"$SRV.{verb}.{name}", b"")).data)
            assert reply["name"] == name
            assert reply["version"] == "1.2.3"
            assert reply["metadata"] == {"role": "writer", "instance": "w1", "prefix": ground.subjects.prefix}
    assert not await ground.connection.gather(f"$SRV.PING.{name}", b"", within_s=LIMIT_S), "it has stopped"
