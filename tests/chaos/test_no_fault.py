"""Without a fault every effect is carried out exactly once: what the other rows are measured against."""

from collections import Counter

import pytest

from tests.chaos.invariants import check
from tests.chaos.load import Load
from tests.chaos.reader import Reader
from tests.chaos.system import System

pytestmark = pytest.mark.chaos
RUNS = 20


async def test_without_a_fault_every_effect_happens_once(system: System, load: Load, reader: Reader) -> None:
    runs = await load.submit_many(RUNS)
    await load.answered(runs, limit_s=system.heal_s)
    await check(system, reader)
    calls = Counter(call.effect for call in system.ledger.calls())
    assert len(calls) == RUNS * 3 * 3
    assert set(calls.values()) == {1}
