"""Runs that wait for a person: nobody holds them meanwhile, and after a restart of everything the answer finds them."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from stretto.shared.requester import Requester
from tests.chaos.agents import How
from tests.chaos.invariants import check
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import LIMIT_S, System

pytestmark = pytest.mark.chaos
RUNS = 4
ASKING = How(ask=True)


async def parked(reader: Reader, runs: Sequence[str], *, asked: int) -> None:
    """Wait until so many questions of the runs are asked and nothing is held or queued for them any more."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            questions = [one for one in await reader.read() if one.kind == "question" and one.run in runs]
            held = sum(one.pending + one.unacknowledged for one in await reader.consumers())
            if len(questions) == asked and not held and not await reader.queued():
                return


async def approve_all(load: Load, runs: Sequence[str]) -> None:
    """Approve whatever the runs ask, until they are over."""
    requester = Requester(client=load.client)

    async def approve(run: str) -> None:
        seen: set[str] = set()
        async for _ in requester.events(run):
            for question in await requester.questions_of(run):
                if question.question.id not in seen:
                    seen.add(question.question.id)
                    await requester.approve(question.question.id, run=run)

    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(approve(run))


async def test_parked_through_a_restart_of_everything(
    system: System, load: Load, reader: Reader, nemesis: Nemesis
) -> None:
    runs = await load.submit_many(RUNS, ASKING)
    await parked(reader, runs, asked=2 * RUNS)
    for name in system.names:
        system.kill(name)
    await nemesis.kill_server()
    system.revive()
    await system.ready()
    await parked(reader, runs, asked=2 * RUNS)
    async with asyncio.timeout(system.heal_s):
        await approve_all(load, runs)
    await check(system, reader)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("agent.before_question", marks=pytest.mark.slow),
        "agent.question_asked",
        pytest.param("supervisor.before_park", marks=pytest.mark.slow),
    ],
)
async def test_killed_while_it_parks(
    system: System, load: Load, reader: Reader, nemesis: Nemesis, rng: random.Random, point: str
) -> None:
    name = f"{point.partition('.')[0]}-1"
    await nemesis.die_at(point, name, rng.randint(1, RUNS))
    runs = await load.submit_many(RUNS, ASKING)
    await nemesis.died_at(point, name)
    async with asyncio.timeout(system.heal_s):
        await approve_all(load, runs)
    await check(system, reader)


async def test_another_attempt_keeps_the_key_of_an_effect(system: System, load: Load, reader: Reader) -> None:
    runs = await load.submit_many(RUNS, How(fails=1))
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)
    mine = [call for call in system.ledger.calls() if call.effect.run in runs and call.effect.kind == "keyed"]
    assert {call.effect.attempt for call in mine} == {1, 2}
