"""Agents that die with a part of a budget in their hands: it comes back, nobody spends more than there is, and the runs are completed."""

import random

import pytest

from tests.chaos.invariants import check
from tests.chaos.load import TIGHT, Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import System

pytestmark = pytest.mark.chaos
RUNS = 3


@pytest.mark.parametrize("point", ["agent.before_settle", pytest.param("agent.reserved", marks=pytest.mark.slow)])
async def test_killed_with_the_last_of_a_budget_reserved(
    system: System, load: Load, reader: Reader, nemesis: Nemesis, rng: random.Random, point: str
) -> None:
    await nemesis.die_at(point, "agent-1", rng.randint(1, 2 * RUNS))
    runs = await load.submit_many(RUNS, budget=TIGHT)
    await nemesis.died_at(point, "agent-1")
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)
