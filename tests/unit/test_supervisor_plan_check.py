"""Every rule that a plan must keep, broken once."""

import pytest

from stretto.shared.contracts.decision import RoleOffer
from stretto.shared.contracts.ensemble import Ensemble
from stretto.shared.contracts.plan import PlannedTask, Revision
from stretto.supervisor.plan_check import PROPOSAL_BOUNDS, check_plan

OFFERS = {
    "worker": RoleOffer(role="worker", description=""),
    "writer": RoleOffer(role="writer", description="", takes=("findings", "notes"), needs=("findings",)),
    "escalation": RoleOffer(role="escalation", description=""),
}


def task(
    task_id: str,
    *sources: str,
    role: str = "worker",
    revision: Revision | None = None,
    max_attempts: int = 2,
    **params: str,
) -> PlannedTask:
    inputs: dict[str, str | tuple[str, ...]] = {f"in{position}": source for position, source in enumerate(sources)}
    return PlannedTask(
        id=task_id, role=role, inputs=inputs, revision=revision, max_attempts=max_attempts, params={**params}
    )


def revises(reviewed: str, then: str | None = None) -> Revision:
    return Revision(task=reviewed, then=then)


@pytest.mark.parametrize(
    ("tasks", "answer", "path", "text"),
    [
        ([], "a", ("tasks",), "the plan has no tasks"),
        ([task(f"t{n}") for n in range(41)], "t0", ("tasks",), "the plan has 41 tasks: 40 are allowed"),
        ([task("a", max_attempts=9)], "a", ("tasks", 0, "max_attempts"), "task a has more than 5 attempts"),
        (
            [task("a").model_copy(update={"ensemble": Ensemble(models=("offline", "scripted:any/file"))})],
            "a",
            ("tasks", 0, "ensemble"),
            "task a chooses its models: only a playbook may",
        ),
        ([task("a"), task("a")], "a", ("tasks", 1, "id"), "two tasks have the id 'a'"),
        (
            [task("plan")],
            "plan",
            ("tasks", 0, "id"),
            "the id 'plan' is taken by the supervisor itself: choose another",
        ),
        (
            [task("a", role="wizard")],
            "a",
            ("tasks", 0, "role"),
            "task a has the unknown role 'wizard': known are escalation, worker, writer",
        ),
        (
            [task("a", "b")],
            "a",
            ("tasks", 0, "inputs", "in0"),
            "task a takes input from 'b', which is not in the plan",
        ),
        (
            [task("a", "b c")],
            "a",
            ("tasks", 0, "inputs", "in0"),
            "task a, input in0: 'b c' is no source: use request, request.params.NAME, TASK or TASK.FIELD",
        ),
        (
            [task("a", "request.text")],
            "a",
            ("tasks", 0, "inputs", "in0"),
            "task a, input in0: 'request.text' is no source: use request, request.params.NAME, TASK or TASK.FIELD",
        ),
        (
            [task("a", "request", in0="x")],
            "a",
            ("tasks", 0, "inputs", "in0"),
            "task a has 'in0' both as fixed and as derived input",
        ),
        ([task("a")], "b", ("answer",), "the answer 'b' is no task of the plan"),
        (
            [task("a"), task("b")],
            "b",
            ("tasks", 0),
            "nothing uses the output of task a: no input, no revision, not the answer",
        ),
        ([task("a", "a")], "a", ("tasks", 0), "tasks wait for each other: a -> a"),
        (
            [task("x"), task("a", "c", "x"), task("b", "a"), task("c", "b")],
            "a",
            ("tasks", 1),
            "tasks wait for each other: a -> b -> c -> a",
        ),
        (
            [task("a"), task("r", "a", revision=revises("b"))],
            "a",
            ("tasks", 1, "revision", "task"),
            "task r revises 'b', which is not in the plan",
        ),
        (
            [task("a"), task("b"), task("r", "a", revision=revises("b"))],
            "a",
            ("tasks", 2, "revision"),
            "task r revises b, but takes no input from it",
        ),
        (
            [task("a"), task("r", "a", revision=revises("a", "e"))],
            "a",
            ("tasks", 1, "revision", "then"),
            "task r ends in 'e', which is not in the plan",
        ),
        (
            [task("a"), task("r", "a", revision=revises("a", "e")), task("e"), task("b", "e", "a")],
            "b",
            ("tasks", 3, "inputs", "in0"),
            "task b takes input from 'e', which runs only without an approval",
        ),
        (
            [task("a"), task("r", "a", revision=revises("a", "e")), task("e")],
            "e",
            ("answer",),
            "the answer 'e' runs only without an approval",
        ),
        (
            [
                task("a"),
                task("r", "a", revision=revises("a", "e")),
                task("b", "a"),
                task("s", "b", revision=revises("b", "e")),
                task("e"),
            ],
            "b",
            ("tasks", 3, "revision", "then"),
            "tasks r and s both end in 'e': give each its own",
        ),
        (
            [task("a"), task("r", "a", revision=revises("a")), task("s", "a", revision=revises("a"))],
            "a",
            ("tasks", 1, "revision"),
            "task a stands in two revision loops: r's and s's",
        ),
        (  # e waits for b, which waits for the approval of a, which may end in e
            [task("a"), task("r", "a", revision=revises("a", "e")), task("b", "a"), task("e", "b")],
            "b",
            ("tasks", 2),
            "tasks wait for each other: b -> e -> b",
        ),
        (
            [task("x" * 62), task("r", "x" * 62, revision=revises("x" * 62))],
            "x" * 62,
            ("tasks", 0, "id"),
            f"the id {'x' * 62!r} is too long to be revised: its last version would be {'x' * 62 + '-r3'!r}",
        ),
        (
            [task("a"), task("r", "a", revision=revises("a")), task("a-r2", "a")],
            "a-r2",
            ("tasks", 2, "id"),
            "the id 'a-r2' is taken by a revision of 'a': choose another",
        ),
        (  # a person may have it revised eight times more
            [task("x" * 61), task("r", "x" * 61, revision=revises("x" * 61, "e")), task("e", role="escalation")],
            "x" * 61,
            ("tasks", 0, "id"),
            f"the id {'x' * 61!r} is too long to be revised: its last version would be {'x' * 61 + '-r11'!r}",
        ),
        (
            [task("a"), task("r", "a", revision=revises("a", "e")), task("e", role="escalation"), task("e-r9", "a")],
            "e-r9",
            ("tasks", 3, "id"),
            "the id 'e-r9' is taken by a revision of 'e': choose another",
        ),
        (
            [
                task("a"),
                task("r", "a", revision=revises("a", "s")),
                task("b"),
                task("s", "b", revision=revises("b")),
            ],
            "a",
            ("tasks", 1, "revision"),
            "task s stands in a revision loop itself",
        ),
        (
            [task("a", role="writer")],
            "a",
            ("tasks", 0),
            "task a lacks the input 'findings' that writer needs",
        ),
        (
            [task("a", role="writer", findings="x", colour="red")],
            "a",
            ("tasks", 0, "params", "colour"),
            "task a has the input 'colour': writer takes findings, notes",
        ),
    ],
)
def test_a_broken_rule_is_told(tasks: list[PlannedTask], answer: str, path: tuple[str | int, ...], text: str) -> None:
    problems = check_plan(tasks, answer, OFFERS, PROPOSAL_BOUNDS)
    assert (path, text) in [(problem.path, problem.text) for problem in problems]


def test_a_plan_that_is_too_large_is_refused() -> None:
    (problem,) = check_plan([task("a", text="x" * 70_000)], "a", OFFERS, PROPOSAL_BOUNDS)
    assert "65536 are allowed" in problem.text


def test_all_problems_are_told_at_once() -> None:
    problems = check_plan([task("a", "b", role="wizard")], "c", OFFERS, PROPOSAL_BOUNDS)
    assert len(problems) == 3
