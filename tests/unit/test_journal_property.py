"""Any program of effects, killed anywhere and done again: no recorded effect runs twice, and the outcome is the same."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from stretto.agents.effects import Effects
from stretto.agents.gate import Gate, Stop
from stretto.agents.recorder import Recorder
from stretto.bus.journal import Entry, Journal
from stretto.bus.subjects import RunKey, TaskKey
from stretto.shared.contracts.question import Question, Settled
from tests.unit.agent_world import ListedSteps, settle

KEY = TaskKey(RunKey(0, "acme", "r1"), "any", "t1", 1)


@dataclass(frozen=True)
class Act:
    """One effect, which takes some turns of the loop."""

    how: str
    turns: int


@dataclass(frozen=True)
class InTurn:
    parts: tuple["Program", ...]


@dataclass(frozen=True)
class AtOnce:
    parts: tuple["Program", ...]


Program = Act | InTurn | AtOnce

acts = st.builds(Act, st.sampled_from(["do", "fail", "read", "keyed", "unkeyed", "alike", "ask"]), st.integers(0, 6))
programs: st.SearchStrategy[Program] = st.recursive(
    acts,
    lambda below: st.one_of(
        st.builds(InTurn, st.lists(below, min_size=1, max_size=4).map(tuple)),
        st.builds(AtOnce, st.lists(below, min_size=1, max_size=4).map(tuple)),
    ),
    max_leaves=12,
)
deaths = st.lists(st.tuples(st.integers(1, 8), st.booleans()), max_size=5)


class MortalSteps(ListedSteps):
    """Dies at its n-th write, before or after it is stored: nothing that it is asked to write comes back from then on."""

    def __init__(self, before: ListedSteps, death: tuple[int, bool] | None) -> None:
        super().__init__()
        self.steps, self.intents = before.steps, before.intents
        self._left, self._stored = death or (0, False)
        self.dead = asyncio.Event()

    async def write(self, entry: Entry, *, message_id: str) -> tuple[Entry, bool]:
        self._left -= 1
        last = self._left == 0
        if self.dead.is_set() or (last and not self._stored):
            self.dead.set()
            await asyncio.Event().wait()
        written = await super().write(entry, message_id=message_id)
        if last:
            self.dead.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return written


@dataclass
class World:
    """What outlives a process: what happened, and what handlers were told of it."""

    store: ListedSteps = field(default_factory=ListedSteps)
    unique: Iterator[int] = field(default_factory=itertools.count)
    calls: int = 0
    keys: dict[str, str] = field(default_factory=dict)
    told: dict[str, JsonValue] = field(default_factory=dict)
    happened: set[str] = field(default_factory=set)
    questions: dict[int, Question] = field(default_factory=dict)
    settled: list[Settled] = field(default_factory=list)

    def happens(self, label: str) -> int:
        """Each time that anything happens, something else comes of it."""
        recorded = {step.name for step in self.store.steps.values() if step.end != "not_done"}
        assert label not in recorded, f"{label} is on record, and done again"
        self.calls += 1
        self.happened.add(label)
        return next(self.unique)

    async def put(self, question: Question) -> None:
        assert self.questions.setdefault(question.position, question) == question, "another question at one place"

    def settle(self) -> None:
        """A person settles all that is open. Whether something happened that nobody can know, the person sees."""
        open_questions = [
            one for one in self.questions.values() if one.id not in {two.question for two in self.settled}
        ]
        assert open_questions, "it was parked without a question"
        for question in open_questions:
            if question.kind == "question":
                self.settled.append(settle(question, "answered", f"{question.text} {next(self.unique)}"))
            else:
                happened = any(f"'{label}'" in question.text for label in self.happened)
                self.settled.append(settle(question, "approved" if happened else "rejected"))

    def tell(self, label: str, outcome: JsonValue) -> JsonValue:
        assert self.told.setdefault(label, outcome) == outcome, f"{label} had another outcome before"
        return outcome


async def run(program: Program, path: str, before: JsonValue, world: World, effects: Effects) -> JsonValue:
    """The handler: what it asks for next depends on what came of all before."""
    match program:
        case Act(how, turns):
            return await act(how, turns, path, before, world, effects)
        case InTurn(parts):
            for number, part in enumerate(parts):
                before = await run(part, f"{path}.{number}", before, world, effects)
            return before
        case AtOnce(parts):
            branches = [run(part, f"{path}.{number}", before, world, effects) for number, part in enumerate(parts)]
            return await asyncio.gather(*branches)


async def act(how: str, turns: int, path: str, before: JsonValue, world: World, effects: Effects) -> JsonValue:
    async def work(label: str) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return world.happens(label)

    async def call(key: str) -> JsonValue:
        match how:
            case "fail":
                raise LookupError(await work(path))
            case "keyed":
                assert world.keys.setdefault(path, key) == key
                return await work(path)
            case "alike":
                return await work("never on record by this name")
            case _:
                return await work(path)

    async def read() -> JsonValue:
        return next(world.unique)

    match how:
        case "read":
            return await effects.observe("read", path, read)
        case "alike":  # branches may ask for the very same: any of its outcomes will do for any of them
            return await effects.perform("step", "alike", None, call, _plain)
        case "ask":
            answer = await effects.ask({"text": path, "points": [str(before)]})
            return world.tell(path, answer.text)
        case "fail":
            try:
                await effects.perform("step", path, before, call, _plain)
            except LookupError as error:
                return world.tell(path, [str(error), *map(str, error.args)])
            raise AssertionError("it must fail again")
        case _:
            consequences: Any = how if how in {"keyed", "unkeyed"} else "none"
            return world.tell(path, await effects.perform("step", path, before, call, _plain, effects=consequences))


def _plain(output: JsonValue) -> JsonValue:
    return output


async def live(program: Program, world: World, death: tuple[int, bool] | None) -> list[JsonValue] | Stop | None:
    """One process's life: what the handler returned; None if it dies before; the reason if it was stopped."""
    store = MortalSteps(world.store, death)
    gate = Gate()
    journal = Journal(
        key=KEY,
        store=store,
        steps=list(store.steps.values()),
        intents=list(store.intents.values()),
        settled=[one.position for one in world.settled],
        grace_s=0.5,
    )
    tasks: list[asyncio.Task[Any]] = []

    def spawn(coro: Any) -> asyncio.Task[Any]:
        tasks.append(asyncio.ensure_future(coro))
        return tasks[-1]

    recorder = Recorder(journal=journal, gate=gate, spawn=spawn)
    effects = Effects(key=KEY, recorder=recorder, gate=gate, put=world.put, settled=world.settled)
    handler = spawn(run(program, "p", None, world, effects))
    dying = spawn(store.dead.wait())
    await asyncio.wait({handler, dying, gate.due}, return_when=asyncio.FIRST_COMPLETED)
    assert gate.error is None, gate.error
    ended = None if store.dead.is_set() else gate.reason or [handler.result()]
    gate.stop(Stop.SHUT_DOWN)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert not isinstance(ended, list) or not list(journal.unasked)
    return ended


async def until_done(program: Program, world: World) -> list[JsonValue]:
    while not isinstance(ended := await live(program, world, None), list):
        assert ended is Stop.PARKED
        world.settle()
    return ended


async def lives(program: Program, ends: Sequence[tuple[int, bool]]) -> None:
    world = World()
    for death in ends:
        if await live(program, world, death) is Stop.PARKED:
            world.settle()
    outcome = await until_done(program, world)
    calls, questions = world.calls, len(world.questions)
    again = await live(program, world, None)
    if not _reads(program):
        assert again == outcome, "a replay must come to the same outcome"
    assert (world.calls, len(world.questions)) == (calls, questions), "nothing happens again"


def _reads(program: Program) -> bool:
    """Whether it ends with reads that no step follows: those are not on record, and may give something else."""
    match program:
        case Act(how):
            return how == "read"
        case InTurn(parts) | AtOnce(parts):
            return any(map(_reads, parts))


DO, ALIKE = Act("do", 0), Act("alike", 0)


@settings(max_examples=150, deadline=None)
@given(programs, deaths)
@example(AtOnce((InTurn((DO, ALIKE)), ALIKE)), [])
@example(AtOnce((DO, InTurn((DO, DO, ALIKE)), InTurn((DO, ALIKE)))), [(4, False)])
def test_no_recorded_effect_runs_twice_and_the_outcome_is_the_same(
    program: Program, ends: list[tuple[int, bool]]
) -> None:
    asyncio.run(lives(program, ends))
