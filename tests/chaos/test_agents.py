"""Agents that die or stand still in the middle of their work: others go on from where they were."""

import random

import pytest

from stretto.bus.failpoints import FAILPOINTS
from tests.chaos.agents import How
from tests.chaos.invariants import check
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import LEASE_S, System

pytestmark = pytest.mark.chaos
RUNS = 8
SLOW = How(call_s=0.3)


async def test_killed_while_its_model_thinks(system: System, load: Load, reader: Reader, nemesis: Nemesis) -> None:
    runs = await load.submit_many(RUNS, SLOW)
    name = nemesis.one_of("agent")
    await nemesis.in_a_call(name)
    system.kill(name)
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)


async def test_killed_when_its_model_has_answered(system: System, load: Load, reader: Reader, nemesis: Nemesis) -> None:
    runs = await load.submit_many(RUNS, SLOW)
    name = nemesis.one_of("agent")
    await nemesis.after_a_call(name)
    system.kill(name)
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)


async def test_a_zombie_past_its_lease(system: System, load: Load, reader: Reader, nemesis: Nemesis) -> None:
    runs = await load.submit_many(RUNS, SLOW)
    name = nemesis.one_of("agent")
    await nemesis.in_a_call(name)
    system.freeze(name)
    try:
        await load.answered(runs, limit_s=system.heal_s)
    finally:
        system.thaw(name)
    await check(system, reader)


@pytest.mark.slow
async def test_a_zombie_that_wakes_up_while_its_successor_works(
    system: System, load: Load, reader: Reader, nemesis: Nemesis
) -> None:
    runs = await load.submit_many(RUNS, How(call_s=LEASE_S))
    name = nemesis.one_of("agent")
    await nemesis.in_a_call(name)
    system.freeze(name)
    try:
        await nemesis.pause(1.2 * LEASE_S, 2.5 * LEASE_S)
    finally:
        system.thaw(name)
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(
            point, marks=[] if point in {"agent.step.before_record", "agent.before_ack"} else [pytest.mark.slow]
        )
        for point in sorted(FAILPOINTS)
        if point.startswith("agent.") and "question" not in point
    ],
)
async def test_killed_at_a_fail_point(
    system: System, load: Load, reader: Reader, nemesis: Nemesis, rng: random.Random, point: str
) -> None:
    await nemesis.die_at(point, "agent-1", rng.randint(1, RUNS))
    runs = await load.submit_many(RUNS)
    await nemesis.died_at(point, "agent-1")
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)
