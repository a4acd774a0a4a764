"""The answer: text, citations that resolve, confidence, and who contributed what."""

import pytest
from pydantic import JsonValue

from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.decision import PlanMade
from stretto.shared.contracts.draft import Claim, Draft
from stretto.shared.contracts.findings import Finding
from stretto.shared.contracts.plan import Plan, PlannedTask
from stretto.shared.contracts.retry import RetryPolicy
from stretto.shared.contracts.task import TaskFailure, TaskResult
from stretto.shared.contracts.usage import Usage
from stretto.supervisor.citations import cite
from stretto.supervisor.merge import combine_confidence
from tests.unit.supervisor_world import World
from tests.unit.test_supervisor_decide import APPROVE, brief, give

A = Finding(id="a", quote="Refunds take 14 days.", source="refunds.md", place="Refunds", confidence=0.9)
A_AGAIN = A.model_copy(update={"id": "a2"})
B = Finding(id="b", quote="Not for sale items.", source="sale.md", place="Sale", confidence=0.4)
FOUND = {"a": ("direct", A), "a2": ("context", A_AGAIN), "b": ("context", B)}


def draft(*claims: Claim, confidence: float = 0.8) -> Draft:
    return Draft(answered=True, claims=claims, confidence=confidence)


def answered(claims: list[JsonValue], *, findings: list[Finding]) -> Answer:
    world = brief()
    dumped: list[JsonValue] = [one.model_dump(mode="json") for one in findings]
    give(world, "direct", {"question": "what?", "findings": dumped})
    give(world, "context", {"question": "what?", "findings": [B.model_dump(mode="json")]})
    give(world, "draft", {"answered": True, "claims": claims, "confidence": 0.8})
    give(world, "review", APPROVE)
    answer = world.orders().answer
    assert answer is not None
    return answer


def test_citations_are_numbered_by_first_use() -> None:
    text = cite(draft(Claim(text="One.", findings=("b", "a")), Claim(text="Two.", findings=("a",))), FOUND)
    assert text.text == "One. [1][2] Two. [2]"
    assert [(one.number, one.source, one.place, one.quote) for one in text.citations] == [
        (1, "sale.md", "Sale", "Not for sale items."),
        (2, "refunds.md", "Refunds", "Refunds take 14 days."),
    ]


def test_one_quote_found_twice_has_one_number_and_two_contributors() -> None:
    text = cite(draft(Claim(text="One.", findings=("a", "a2"))), FOUND)
    assert text.text == "One. [1]"
    assert len(text.citations) == 1
    assert text.contributed == {"direct": (1,), "context": (1,)}


def test_a_claim_that_cites_what_nobody_found_is_marked_and_lowers_the_confidence() -> None:
    text = cite(draft(Claim(text="One.", findings=("a",)), Claim(text="Two.", findings=("invented",))), FOUND)
    assert text.text == "One. [1] Two. [?]"
    assert text.supported == 0.5


def test_a_claim_without_any_citation_supports_nothing() -> None:
    text = cite(draft(Claim(text="One.")), FOUND)
    assert (text.text, text.supported) == ("One.", 0.0)


def test_confidence_is_the_geometric_mean_times_the_supported_share() -> None:
    one = draft(Claim(text="One.", findings=("a",)), Claim(text="Two.", findings=("no",)), confidence=0.4)
    combined = combine_confidence(one, cite(one, FOUND), 0.6)
    assert combined == pytest.approx((0.4 * 0.9 * 0.6) ** (1 / 3) * 0.5, abs=1e-4)


def test_confidence_without_a_review_leaves_it_out() -> None:
    one = draft(Claim(text="One.", findings=("a",)), confidence=0.4)
    assert combine_confidence(one, cite(one, FOUND), None) == pytest.approx(0.6)


def test_the_answer_says_which_task_contributed_what() -> None:
    answer = answered([{"text": "One.", "findings": ["b", "a"]}], findings=[A])
    contributed = {report.task: report.contributed for report in answer.tasks}
    assert contributed == {"direct": (2,), "context": (1,), "draft": (), "review": (), "escalate": ()}


def test_a_draft_that_claims_nothing_answers_nothing() -> None:
    answer = answered([], findings=[A])
    assert (answer.answered, answer.text) == (False, "Not found in the documents. The draft makes no claim.")


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ({"text": "Guten Tag.", "language": "de"}, "Guten Tag."),
        ({"answered": True, "text": "looks like a draft"}, "looks like a draft"),
        ({"total": 3}, '{\n  "total": 3\n}'),
    ],
)
def test_the_output_of_a_users_own_agent_is_carried_whole(output: dict[str, JsonValue], text: str) -> None:
    world = World.with_plan(Plan(playbook="p", tasks=(PlannedTask(id="one", role="mine"),), answer="one"))
    give(world, "one", output)
    answer = world.orders().answer
    assert answer is not None
    assert (answer.state, answer.answered, answer.text, answer.output) == ("completed", True, text, output)


def test_a_task_has_what_each_model_took_in_all_its_attempts() -> None:
    retries = {"default": RetryPolicy(tries=3)}
    plan = Plan(playbook="p", tasks=(PlannedTask(id="one", role="mine"),), answer="one")
    world = World()
    world.ask()
    world.commit(PlanMade(plan=plan, retries=retries))
    small, big = Usage(model_calls=1, cost_usd=0.25), Usage(model_calls=2, cost_usd=1.0)
    failure = TaskFailure(kind="retryable", error="ModelUnavailable", message="away")
    attempt = TaskResult(task="one", attempt=1, role="mine", agent="m-1", failure=failure, usage=small)
    world.record(attempt.model_copy(update={"by_model": {"a:1": small}}))
    (timer,) = (one.name for one in world.orders().timers if one.name.startswith("retry-"))
    world.fire(timer)
    done = {"attempt": 2, "failure": None, "output": {"text": "x"}, "usage": small + big}
    world.record(attempt.model_copy(update={**done, "by_model": {"a:1": small, "b:1": big}}))
    answer = world.orders().answer
    assert answer is not None
    (report,) = answer.tasks
    assert report.by_model == {"a:1": small + small, "b:1": big}
    assert report.usage == answer.usage == small + small + big


def test_claims_with_lines_of_their_own_are_set_apart() -> None:
    found = {"f1": ("direct", Finding(id="f1", quote="q", source="s"))}
    claims = tuple(Claim(text=text, findings=("f1",)) for text in ("First.", "a = 1\nb = 2", "Then.", "Last."))
    text = cite(Draft(answered=True, claims=claims), found).text
    assert text == "First. [1]\n\na = 1\nb = 2 [1]\n\nThen. [1] Last. [1]"
