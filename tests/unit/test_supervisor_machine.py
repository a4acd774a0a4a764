"""Supervisors that come, go, lag and repeat themselves over one growing log: there is one answer, and it stays."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.command import Command
from stretto.shared.contracts.decision import PlanMade
from stretto.shared.contracts.plan import Plan
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.task import TaskResult
from stretto.supervisor.decide import DueTask, Orders, decide
from stretto.supervisor.facts import Answered, Asked, CommandGiven, Decided, ResultRecorded, TimerFired
from stretto.supervisor.state import RunState, evolve
from tests.unit.supervisor_world import LIMITS, Agents, World, at, dice, fold, plans


class Supervised(RuleBasedStateMachine):
    """A run's log as the server keeps it: decisions by compare-and-swap; results, questions, their settlement and the answer once."""

    @initialize(plan=plans(), seed=st.integers(0, 2**32))
    def begin(self, plan: Plan, seed: int) -> None:
        self.plan = plan
        self.agents = Agents(seed)
        self.chance = dice(seed)
        self.world = World()
        self.world.ask()
        self.queue: dict[tuple[str, int, int], DueTask] = {}
        self.timers: set[str] = set()
        self.supervisors: list[RunState] = [RunState(), RunState()]
        self.ended: Answer | None = None

    @rule(who=st.integers(0, 1), upto=st.integers(0, 100))
    def supervisor_reads_and_acts(self, who: int, upto: int) -> None:
        state = self.supervisors[who]
        for fact in self.world.log[: max(state.last_seq, len(self.world.log) * upto // 100)]:
            state = evolve(state, fact)
        self.supervisors[who] = state
        orders = decide(state, at(0), LIMITS)
        last = max((fact.seq for fact in self.world.log if isinstance(fact, Decided)), default=0)
        if orders.needs_plan and state.decision_seq == last:  # else the swap is refused
            self.world.commit(PlanMade(plan=self.plan))
        self.queue |= {(due.task, due.attempt, len(due.settled)): due for due in orders.due}
        self.timers |= {timer.name for timer in orders.timers}
        if orders.answer is not None and not self.world.state.is_over:
            self.world.answer(orders.answer)

    @precondition(lambda self: self.queue)
    @rule(pick=st.randoms(use_true_random=False))
    def agent_works(self, pick: random.Random) -> None:
        key = pick.choice(sorted(self.queue))
        due = self.queue[key]
        if pick.random() < 0.8:  # else it is delivered again later
            del self.queue[key]
        asked = self.agents.asks(due)
        if asked is None:
            self._write(self.agents.work(due))
        elif asked.id not in {question.id for question in self._asked()}:
            self.world.put(asked)

    @precondition(lambda self: self._asked())
    @rule(pick=st.randoms(use_true_random=False))
    def person_decides(self, pick: random.Random) -> None:
        """Late or not: the server takes one command a question."""
        asked = pick.choice(self._asked())
        command = self.agents.decides(asked) or Command(verb="reject", question=asked.id, text="too late?")
        if asked.id not in {fact.command_id for fact in self.world.log if isinstance(fact, CommandGiven)}:
            self.world.command(command)

    @precondition(lambda self: self._asked())
    @rule(pick=st.randoms(use_true_random=False))
    def person_says_what_settles_nothing(self, pick: random.Random) -> None:
        if pick.random() < 0.3:
            self.world.command(Command(verb="answer", question=f"{pick.choice(self._asked()).id}x", text="?"))

    @precondition(lambda self: self.timers)
    @rule(pick=st.randoms(use_true_random=False))
    def timer_fires(self, pick: random.Random) -> None:
        """Any that was ever set, however old; the end of the run seldom."""
        name = pick.choice(sorted(self.timers))
        if not name.startswith("deadline") or pick.random() < 0.1:
            self.timers.remove(name)
            self.world.fire(name)

    @rule(who=st.integers(0, 1))
    def supervisor_crashes(self, who: int) -> None:
        self.supervisors[who] = RunState()

    @precondition(lambda self: self.world.log)
    @rule(who=st.integers(0, 1), pick=st.randoms(use_true_random=False))
    def old_fact_is_delivered_again(self, who: int, pick: random.Random) -> None:
        known = self.world.log[: self.supervisors[who].last_seq]
        if known:
            before = self.supervisors[who]
            self.supervisors[who] = evolve(before, pick.choice(known))
            assert self.supervisors[who] == before

    @rule(once_in=st.integers(1, 10))
    def person_cancels(self, once_in: int) -> None:
        if once_in == 1:
            self.world.cancel("enough")

    @invariant()
    def the_answer_never_changes(self) -> None:
        if not hasattr(self, "world"):
            return
        unanswered = fold([fact for fact in self.world.log if not isinstance(fact, Answered)])
        answer = decide(unanswered, at(0), LIMITS).answer
        if self.ended is None:
            self.ended = answer
        assert answer == self.ended
        assert [fact.answer for fact in self.world.log if isinstance(fact, Answered)] in ([], [self.ended])

    @invariant()
    def a_run_is_parked_exactly_while_nothing_is_due(self) -> None:
        if not hasattr(self, "world"):
            return
        orders = self.world.orders()
        is_open = self.world.state.planned is not None and orders.answer is None and not self.world.state.is_over
        assert orders.parked == (is_open and not orders.due)
        if orders.parked:
            assert {timer.name for timer in orders.timers} - {"deadline"}, "nothing would ever wake it"

    @invariant()
    def a_question_is_settled_once_and_by_the_first_that_may(self) -> None:
        if not hasattr(self, "world"):
            return
        for inquiries in self.world.state.records.inquiries.values():
            for one in inquiries:
                if one.settled is not None:
                    first = min(
                        fact.seq
                        for fact in self.world.log
                        if (isinstance(fact, CommandGiven) and fact.command.question == one.question.id)
                        or (isinstance(fact, TimerFired) and fact.name == one.question.id)
                    )
                    assert one.since.seq == first

    def teardown(self) -> None:
        """Whatever happened, a supervisor that reads the whole log brings the run to its answer."""
        if not hasattr(self, "world"):
            return
        world = self.world
        if world.state.planned is None and not world.orders().answer:
            world.commit(PlanMade(plan=self.plan))
        if not world.state.is_over:
            answer = world.finish(self.agents, self.chance)
            assert self.ended is None or answer == self.ended
            world.answer(answer)
        assert world.orders() == Orders(outstanding=world.orders().outstanding)

    def _asked(self) -> list[Question]:
        return [fact.question for fact in self.world.log if isinstance(fact, Asked)]

    def _write(self, result: TaskResult) -> None:
        written = {
            (fact.result.task, fact.result.attempt) for fact in self.world.log if isinstance(fact, ResultRecorded)
        }
        if (result.task, result.attempt) not in written:
            self.world.record(result)


TestSupervised = Supervised.TestCase
TestSupervised.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
