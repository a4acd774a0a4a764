"""A small world for the supervisor's properties: generated plans, agents whose work is a function of a seed, and a log."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

from hypothesis import strategies as st
from pydantic import JsonValue

from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import Decision, Event, PlanMade, RoleOffer
from stretto.shared.contracts.plan import Plan, PlannedTask, Revision
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.request import Request
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.shared.contracts.usage import Usage
from stretto.supervisor.decide import DueTask, Limits, Orders, decide
from stretto.supervisor.facts import (
    Answered,
    Asked,
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
    """What agents return and people decide, as a function of who is asked and of a seed: the same whenever they are asked.

    `calm` agents never fail for good and never reject, and calm people never refuse, so that how the run ends does not depend on who was
    first.
    """

    seed: int
    calm: bool = False

    def asks(self, due: DueTask) -> Question | None:
        """The next question that the attempt has for a person, if it has one more: escalations have one, others sometimes."""
        position = len(due.settled)
        wanted = 1 if due.role == "escalation" else dice(f"{self.seed} {due.task} asks").choice([0, 0, 0, 1, 2])
        if position >= wanted:
            return None
        approval = due.role != "escalation" and position % 2 == 1
        return question(due.task, due.attempt, due.role, position, kind="approval" if approval else "question")

    def decides(self, asked: Question) -> Command | None:
        """What a person says; None when nobody says anything in time."""
        chance = dice(f"{self.seed} {asked.id}")
        said = chance.random()
        if asked.kind == "question" and said < 0.3:
            return Command(verb="answer", question=asked.id, text=asked.task)
        if said < 0.6:
            return Command(verb="approve", question=asked.id)
        if said < 0.8 or (self.calm and asked.role != "escalation"):
            return Command(verb="reject", question=asked.id, text="shorter" if said < 0.75 or self.calm else "")
        return Command(verb="approve", question=asked.id) if self.calm else None

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
        if any(one.outcome == "expired" for one in due.settled):
            return TaskFailure(kind="permanent", error="QuestionExpired", message="nobody decided")
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
            (settled,) = due.settled
            decision = {"approved": "accept", "answered": "replace", "rejected": "revise" if settled.text else "refuse"}
            return {
                **made,
                "question": "what now?",
                "summary": "it stopped",
                "decision": decision[settled.outcome],
                "words": settled.text,
                "decided_by": settled.principal,
            }
        return made


def question(
    task: str, attempt: int, role: str, position: int, kind: Literal["question", "approval"] = "question"
) -> Question:
    return Question(
        id=f"q-{task}-{attempt}-{position}",
        task=task,
        attempt=attempt,
        role=role,
        position=position,
        digest=f"d{position}",
        kind=kind,
        text=f"what about {task}?",
        expires_in_s=3_600,
    )


def made_by(given: Mapping[str, JsonValue]) -> set[str]:
    """The tasks whose outputs stand in an input; a person's words are those of the task that asked."""
    found: set[str] = set()
    for value in given.values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                found |= {str(one[key]) for key in ("made_by", "text") if isinstance(one.get(key), str)}
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

    def put(self, question: Question) -> None:
        """An attempt asks a person."""
        self.add(Asked(self.next_seq, at(self.next_seq), question))

    def command(self, command: Command, principal: str = "ada") -> None:
        seq = self.next_seq
        self.add(CommandGiven(seq, at(seq), command, principal, command.question or f"c{seq}"))

    def cancel(self, reason: str = "") -> None:
        self.command(Command(verb="cancel", reason=reason))

    def fire(self, name: str = "deadline") -> None:
        self.add(TimerFired(self.next_seq, at(self.next_seq), name))

    def answer(self, answer: Answer) -> None:
        self.add(Answered(self.next_seq, at(self.next_seq), answer))

    def orders(self) -> Orders:
        return decide(self.state, at(self.next_seq), LIMITS)

    def results(self) -> list[TaskResult]:
        return [fact.result for fact in self.log if isinstance(fact, ResultRecorded)]

    def step(self, agents: Agents, order: random.Random) -> Answer | None:
        """One thing happens of all that can: an agent works or asks, a person decides, or a timer fires. The answer, if there is one."""
        orders = self.orders()
        if orders.answer is not None:
            return orders.answer
        happens: list[Callable[[], None]] = [partial(self.go_on, agents, due) for due in orders.due]
        happens += [partial(self.decide, agents, one.question) for one in self.state.open_questions]
        happens += [partial(self.fire, one.name) for one in orders.timers if one.name.startswith("retry-")]
        assert happens, "the run is open, but nothing can happen"
        order.choice(happens)()
        return None

    def go_on(self, agents: Agents, due: DueTask) -> None:
        """An agent takes up the due task: it asks, or it is done."""
        asked = agents.asks(due)
        if asked is not None:
            self.put(asked)
        else:
            self.record(agents.work(due))

    def decide(self, agents: Agents, asked: Question) -> None:
        """A person decides, or the question's time runs out."""
        command = agents.decides(asked)
        if command is not None:
            self.command(command)
        else:
            self.fire(asked.id)

    def finish(self, agents: Agents, order: random.Random, *, steps: int = 3_000) -> Answer:
        """Let happen what can, in any order, until there is an answer."""
        for _ in range(steps):
            answer = self.step(agents, order)
            if answer is not None:
                return answer
        raise AssertionError(f"no answer after {steps} steps")


def fold(facts: list[Fact]) -> RunState:
    state = RunState()
    for fact in facts:
        state = evolve(state, fact)
    return state
