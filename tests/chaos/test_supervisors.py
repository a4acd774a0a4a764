"""Supervisors that die or stand still at every point of their work: others go on with their runs."""

import random

import pytest

from stretto.bus.failpoints import FAILPOINTS
from tests.chaos.agents import How
from tests.chaos.invariants import check
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import System

pytestmark = pytest.mark.chaos
RUNS = 8


async def test_killed_with_runs_in_flight(system: System, load: Load, reader: Reader, nemesis: Nemesis) -> None:
    runs = await load.submit_many(RUNS, How(call_s=0.3))
    await nemesis.in_a_call(nemesis.one_of("agent"))
    await nemesis.kill_supervisor()
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)


@pytest.mark.slow
async def test_all_killed_at_once(system: System, load: Load, reader: Reader, nemesis: Nemesis) -> None:
    runs = await load.submit_many(RUNS, How(call_s=0.3))
    await nemesis.in_a_call(nemesis.one_of("agent"))
    for name in ("supervisor-1", "supervisor-2"):
        system.kill(name)
    system.revive()
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)


@pytest.mark.slow
async def test_a_zombie_past_its_leases(system: System, load: Load, reader: Reader, nemesis: Nemesis) -> None:
    runs = await load.submit_many(RUNS, How(call_s=0.3))
    await nemesis.freeze("supervisor")
    runs += await load.submit_many(RUNS)
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(
            point, marks=[] if point in {"supervisor.committed", "supervisor.before_answer"} else [pytest.mark.slow]
        )
        for point in sorted(FAILPOINTS)
        if point.startswith("supervisor.") and point not in {"supervisor.before_fold", "supervisor.before_park"}
    ],
)
async def test_killed_at_a_fail_point(
    system: System, load: Load, reader: Reader, nemesis: Nemesis, rng: random.Random, point: str
) -> None:
    await nemesis.die_at(point, "supervisor-1", rng.randint(1, RUNS // 2))
    # Long enough that leases are renewed, and timers set.
    runs = await load.submit_many(RUNS, How(call_s=0.5))
    await nemesis.died_at(point, "supervisor-1")
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)


@pytest.mark.slow
async def test_killed_while_it_takes_over(
    system: System, load: Load, reader: Reader, nemesis: Nemesis, rng: random.Random
) -> None:
    runs = await load.submit_many(RUNS, How(call_s=1.0))
    await nemesis.in_a_call(nemesis.one_of("agent"))
    await nemesis.die_at("supervisor.before_fold", "supervisor-1", rng.randint(1, RUNS // 2))
    await nemesis.died_at("supervisor.before_fold", "supervisor-1")
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)
