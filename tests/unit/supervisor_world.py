"""A small world for the supervisor's properties: generated plans, agents whose work is a function of a seed, and a log."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from pydantic import JsonValue

from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, Event, PlanMade, RoleOffer
from stretto.shared.contracts.plan import Plan, PlannedTask, Revision
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.shared.contracts.usage import Usage
from stretto.supervisor.decide import DueTask, Limits, Orders, decide
from stretto.supervisor.facts import (
    Answered,
    CommandGiven,
    Decided,
    Fact,
    RequestAccepted,
    ResultRecorded,
    TimerFired,
)
from stretto.supervisor.state import RunState, evolve

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(run_deadline_s=900, role_wait_s=60)
ROLES = {role: RoleOffer(role=role, description=role) for role in ("worker", "reviewer", "escalation", "senior")}


def dice(seed: int | str) -> random.Random:
    return random.Random(seed)  # noqa: S311 (chance in a test, not a secret)


def at(seq: int) -> datetime:
    return BEGIN + timedelta(seconds=seq)


@st.composite
def plans(draw: st.DrawFn, *, revisions: bool = True) -> Plan:
    """Plans that keep the rules: a random graph, parts of which are reviewed, some through a check on the way."""
    count = draw(st.integers(1, 6))
    tasks: list[PlannedTask] = []
    used: set[str] = set()
    for position in range(count):
        earlier = [task.id for task in tasks if task.role == "worker"]
        sources = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        if position == count - 1:
            sources = sorted({*sources, *(task for task in earlier if task not in used)})
        used |= set(sources)
        one = f"t{position}"
        tasks.append(
            PlannedTask(
                id=one,
                role="worker",
                inputs={"parts": tuple(sources)} if sources else {},
                max_attempts=draw(st.integers(1, 3)),
            )
        )
        if revisions and draw(st.booleans()):
            tasks += _review(draw, one)
    shown = draw(st.permutations(tasks))
    return Plan(playbook="generated", tasks=tuple(shown), answer=f"t{count - 1}")


def _review(draw: st.DrawFn, one: str) -> list[PlannedTask]:
    inputs: dict[str, str | tuple[str, ...]] = {"draft": one}
    added: list[PlannedTask] = []
    if draw(st.booleans()):
        added.append(PlannedTask(id=f"{one}-check", role="worker", inputs={"of": one}))
        inputs["check"] = f"{one}-check"
    then = None
    if draw(st.booleans()):
        then = f"{one}-then"
        role = draw(st.sampled_from(["escalation", "senior"]))
        added.append(PlannedTask(id=then, role=role, inputs={"draft": one}))
    revision = Revision(task=one, at_most=draw(st.integers(0, 2)), then=then)
    return [*added, PlannedTask(id=f"{one}-review", role="reviewer", inputs=inputs, revision=revision)]


@dataclass(frozen=True)
class Agents:
    """What agents return, as a function of task, attempt and seed: the same whenever they are asked.

    `calm` agents never fail for good and never reject, so that how the run ends does not depend on who was first.
    """

    seed: int
    calm: bool = False

    def work(self, due: DueTask) -> TaskResult:
        chance = dice(f"{self.seed} {due.task} {due.attempt}")
        failure = self._failure(chance, due)
        return TaskResult(
            task=due.task,
            attempt=due.attempt,
            role=due.role,
            agent=f"{due.role}-1",
            output=None if failure else self._output(chance, due),
            failure=failure,
            usage=Usage(model_calls=1, cost_usd=chance.random()),
            seconds=chance.random(),
        )

    def _failure(self, chance: random.Random, due: DueTask) -> TaskFailure | None:
        dice = chance.random()
        if self.calm:
            return None
        if dice < 0.2:
            return TaskFailure(kind="retryable", error="Busy", message="try again")
        if dice < 0.23:
            return TaskFailure(kind="permanent", error="Bad", message="never")
        if dice < 0.25:
            return TaskFailure(kind="misconfigured", error="NoKey", message="set a key")
        return None

    def _output(self, chance: random.Random, due: DueTask) -> dict[str, JsonValue]:
        made: dict[str, JsonValue] = {"made_by": due.task, "saw": [*sorted(made_by(due.input))]}
        if due.role == "reviewer":
            verdicts = ["approve", "revise", "revise"] if self.calm else ["approve", "revise", "reject"]
            if self.calm and not due.task.endswith("-review"):
                verdicts = ["approve"]
            return {**made, "verdict": chance.choice(verdicts), "reasons": "because"}
        if due.role == "escalation":
            return {**made, "question": "what now?", "summary": "it stopped"}
        return made


def made_by(given: Mapping[str, JsonValue]) -> set[str]:
    """The tasks whose outputs stand in an input."""
    found: set[str] = set()
    for value in given.values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict) and isinstance(one.get("made_by"), str):
                found.add(str(one["made_by"]))
    return found


@dataclass
class World:
    """One run's log, and a supervisor that reads it as it grows."""

    log: list[Fact] = field(default_factory=list)
    state: RunState = field(default_factory=RunState)

    @classmethod
    def with_plan(cls, plan: Plan) -> "World":
        world = cls()
        world.ask()
        world.commit(PlanMade(plan=plan))
        return world

    @property
    def next_seq(self) -> int:
        return len(self.log) + 1

    def add(self, fact: Fact) -> None:
        self.log.append(fact)
        self.state = evolve(self.state, fact)

    def ask(self, request: Request | None = None) -> None:
        self.add(RequestAccepted(self.next_seq, at(self.next_seq), request or Request(text="what?"), "ada"))

    def commit(self, *events: Event) -> None:
        self.add(Decided(self.next_seq, at(self.next_seq), Decision(events=events)))

    def record(self, result: TaskResult) -> None:
        self.add(ResultRecorded(self.next_seq, at(self.next_seq), result))

    def cancel(self, reason: str = "") -> None:
        seq = self.next_seq
        self.add(CommandGiven(seq, at(seq), Command(verb="cancel", reason=reason), "ada", f"c{seq}"))

    def fire(self, name: str = "deadline") -> None:
        self.add(TimerFired(self.next_seq, at(self.next_seq), name))

    def answer(self, answer: Answer) -> None:
        self.add(Answered(self.next_seq, at(self.next_seq), answer))

    def orders(self) -> Orders:
        return decide(self.state, at(self.next_seq), LIMITS)

    def results(self) -> list[TaskResult]:
        return [fact.result for fact in self.log if isinstance(fact, ResultRecorded)]

    def finish(self, agents: Agents, order: random.Random, *, steps: int = 500) -> Answer:
        """Let the agents do what is due, one at a time in any order, until there is an answer."""
        for _ in range(steps):
            orders = self.orders()
            if orders.answer is not None:
                return orders.answer
            assert orders.due, "the run is open, but nothing is due"
            self.record(agents.work(order.choice(orders.due)))
        raise AssertionError(f"no answer after {steps} steps")


def fold(facts: list[Fact]) -> RunState:
    state = RunState()
    for fact in facts:
        state = evolve(state, fact)
    return state
