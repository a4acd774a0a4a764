"""The suite can fail: in a copy of the package each of these guards is taken out, and an invariant says so."""

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.agents import DIES, How
from tests.chaos.invariants import violations
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.reader import Reader
from tests.chaos.system import LEASE_S, ROOT, System
from tests.chaos.witness import Witness

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
SLOW = How(call_s=LEASE_S / 2)
RUNS = 4


@dataclass(frozen=True, slots=True)
class Mutation:
    """A guard taken out: `old` becomes `new` in the file. `caught_by` is the invariant that says so."""

    file: str
    old: str
    new: str
    caught_by: str


Row = Callable[[System, Load, Nemesis], Awaitable[None]]


async def kill_all_agents(system: System, load: Load, nemesis: Nemesis) -> None:
    """In the middle of their second calls, when the first are recorded."""
    await load.submit_many(RUNS, SLOW)
    await nemesis.after_a_call(nemesis.one_of("agent"))
    await nemesis.pause(0.3 * SLOW.call_s, 0.6 * SLOW.call_s)
    for agent in ("agent-1", "agent-2"):
        system.kill(agent)
    system.revive()


async def wake_a_zombie(system: System, load: Load, nemesis: Nemesis) -> None:
    """While its successor works."""
    await load.submit_many(RUNS, SLOW)
    name = nemesis.one_of("agent")
    await nemesis.in_a_call(name)
    system.freeze(name)
    try:
        await nemesis.pause(1.2 * LEASE_S, 1.5 * LEASE_S)
    finally:
        system.thaw(name)


async def die_in_calls(system: System, load: Load, nemesis: Nemesis) -> None:
    """Before and after calls of tools with consequences; whoever is asked what happened says it."""
    async with nemesis.reviving():
        runs = [await load.submit(How(send=True, dies=dies), playbook="alone") for dies in DIES]
        await Witness(load.client, system.ledger).settle(runs, limit_s=system.heal_s)


MUTATIONS: dict[str, tuple[Mutation, Row]] = {
    "no conditional append": (
        Mutation("bus/jetstream.py", "if expect is not None:", "if expect is None:", "I2 no recorded step again"),
        wake_a_zombie,
    ),
    "acknowledged before it is written": (
        Mutation(
            "agents/worker.py",
            "            return await self._do(key, task, envelope)\n",
            "            await delivery.ack()\n            return await self._do(key, task, envelope)\n",
            "I1 one terminal state",
        ),
        kill_all_agents,
    ),
    "no journal": (
        Mutation(
            "agents/worker.py",
            "steps=found.steps,\n                intents=found.intents,",
            "steps=[],\n                intents=[],",
            "I2 no recorded step again",
        ),
        kill_all_agents,
    ),
    "no settlement": (
        Mutation(
            "shared/money/purse.py",
            "await asyncio.gather(*(one.ledger.settle(self.reservation, took) for one in self._accounts))",
            "self._accounts = []",
            "I4 never over budget",
        ),
        kill_all_agents,
    ),
    "the key made anew each time": (
        Mutation(
            "bus/journal.py",
            "Effect(intent.position, kind, identity, intent.key, intended=True)",
            "Effect(intent.position, kind, identity, new_id(), intended=True)",
            "I3 one key an effect",
        ),
        die_in_calls,
    ),
    "no intent": (
        Mutation(
            "agents/effects.py",
            'if effects != "none" and not effect.intended:',
            "if False:",
            "I3 every call intended",
        ),
        die_in_calls,
    ),
    "nobody asked": (
        Mutation(
            "agents/effects.py",
            'elif effect.intended and effects == "unkeyed":',
            "elif False:",
            "I3 nothing repeated unasked",
        ),
        die_in_calls,
    ),
}


@pytest.fixture(params=MUTATIONS)
def mutated(request: pytest.FixtureRequest) -> tuple[Mutation, Row]:
    found: tuple[Mutation, Row] = MUTATIONS[request.param]
    return found


@pytest.fixture
async def system(tmp_path: Path, mutated: tuple[Mutation, Row]) -> AsyncGenerator[System]:
    """A system of a copy of the package with the guard taken out."""
    mutation, _ = mutated
    shutil.copytree(ROOT / "stretto", tmp_path / "source" / "stretto", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "source" / "stretto" / mutation.file
    text = file.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.file} has changed: find the guard anew"
    file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    system = System(tmp_path / "system", source=tmp_path / "source")
    try:
        system.servers.start()
        system.start_all()
        yield system
    finally:
        system.stop()


async def test_a_guard_that_is_missing_is_noticed(
    system: System, load: Load, reader: Reader, nemesis: Nemesis, mutated: tuple[Mutation, Row]
) -> None:
    mutation, row = mutated
    await row(system, load, nemesis)
    found = await violations(system, reader)
    print({name: wrong[:3] for name, wrong in found.items()})  # noqa: T201 (shown with -s: it goes into docs/reliability.md)
    assert mutation.caught_by in found
