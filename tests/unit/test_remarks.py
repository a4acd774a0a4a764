"""Remarks: a model that was passed over is told of in the result and in the answer, once."""

import pytest

from stretto.agents.remarks import remarks_of
from stretto.bus.step import Step
from stretto.shared.contracts.decision import PlanMade
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.step import ModelOutcome
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.shared.models.protocol import Hop
from tests.unit.supervisor_world import World


def said(position: int, model: str, *hops: Hop) -> Step:
    outcome = ModelOutcome(output={}, model=model, hops=hops)
    return Step(position=position, kind="model", name="Line", digest="", output=outcome.model_dump(mode="json"))


def test_each_model_that_was_passed_over_is_named_once_with_who_answered_and_why() -> None:
    limited = Hop(model="a:1", reason="RateLimited", detail="a:1: HTTP 429, again in 7 s")
    keyless = Hop(model="b:1", reason="KeyMissing", detail="there is no key for b: set B_KEY")
    steps = [
        said(0, "c:1", limited, keyless),
        said(1, "c:1", limited.model_copy(update={"detail": "a:1: HTTP 429, again in 6 s"})),
        said(2, "a:1"),
        Step(position=3, kind="model", name="Line", digest="", end="failed"),
    ]
    assert remarks_of(steps) == (
        "c:1 answered in place of a:1: it takes no more requests for now.",
        "c:1 answered in place of b:1: there is no key for b: set B_KEY.",
    )


@pytest.mark.parametrize("reason", ["budget", "something new"])
def test_what_there_are_no_words_for_is_told_as_it_came(reason: str) -> None:
    assert remarks_of([said(0, "offline", Hop(model="a:1", reason=reason))]) == (
        f"offline answered in place of a:1: {reason}.",
    )


def test_the_answer_has_the_remarks_of_all_attempts_each_once() -> None:
    world = World()
    world.ask()
    tasks = (PlannedTask(id="one", role="worker"), PlannedTask(id="two", role="worker", inputs={"x": "one"}))
    world.commit(PlanMade(plan=Plan(playbook="p", tasks=tasks, answer="two")))
    failure = TaskFailure(kind="retryable", error="Busy", message="later")
    world.record(TaskResult(task="one", attempt=1, role="worker", agent="a", failure=failure, remarks=("A.",)))
    world.fire("retry-one-2")
    world.record(TaskResult(task="one", attempt=2, role="worker", agent="a", output={"text": ""}, remarks=("B.",)))
    world.record(TaskResult(task="two", attempt=1, role="worker", agent="a", output={"text": ""}, remarks=("B.", "C.")))
    answer = world.orders().answer
    assert answer is not None
    assert (answer.state, answer.remarks) == ("completed", ("A.", "B.", "C."))
