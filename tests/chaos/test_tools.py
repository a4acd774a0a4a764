"""Agents that die around the calls of tools with consequences: nothing happens twice, and nothing without a record."""

from collections import Counter

import pytest

from tests.chaos.agents import DIES, How
from tests.chaos.invariants import check
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import System
from tests.chaos.witness import Witness

pytestmark = pytest.mark.chaos


async def test_killed_before_and_after_calls_with_consequences(
    system: System, load: Load, reader: Reader, nemesis: Nemesis
) -> None:
    async with nemesis.reviving():
        runs = [await load.submit(How(send=True, dies=dies), playbook="alone") for dies in DIES]
        await Witness(load.client, system.ledger).settle(runs, limit_s=system.heal_s)
    await check(system, reader)
    assert sorted(system.ledger.deaths()) == sorted(runs)
    sent = Counter(call.effect.run for call in system.ledger.calls() if call.effect.kind == "unkeyed")
    assert sent == dict.fromkeys(runs, 1), "whoever knows what happened has each thing happen once"
