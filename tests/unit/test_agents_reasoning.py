"""The specialists with a model that can reason: what they ask it, when they stop, and what they do when it falls short."""

from collections.abc import Sequence

import pytest

from stretto.agents.researcher import Researcher, ResearchTask
from stretto.agents.reviewer import Reviewer, ReviewTask
from stretto.agents.writer import Writer, WriteTask
from stretto.shared.contracts.decision import RoleOffer
from stretto.shared.contracts.draft import Claim, Draft, Outline, Point
from stretto.shared.contracts.findings import Finding, Findings, Inquiry, Quote, Quotes
from stretto.shared.contracts.plan import PlannedTask
from stretto.shared.contracts.proposal import PlanProposal
from stretto.shared.contracts.review import ClaimCheck, Review, ReviewNote
from stretto.shared.models.offline.model import OfflineModel
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from stretto.shared.models.scripted import ScriptedModel, ScriptLine
from stretto.supervisor.plan_check import PROPOSAL_BOUNDS, check_plan
from stretto.supervisor.planner import Planner, PlannerTask
from stretto.supervisor.roles import BUILT_IN_ROLES
from tests.unit.agent_world import ListedSteps, ListMemory, record, surroundings

QUESTION = "How are refunds paid, and who carries the shipping costs?"
PAID = record("r-1", "A refund is paid to the original method. For gift cards", ordinal=0)
CARDS = record("r-2", "a new voucher is sent by mail.", place="Cards, line 2", ordinal=1)
COSTS = record("s-1", "The customer bears postage.", source="postage.md", place="Postage, line 1")


def found(*quotes: tuple[str, str, float], covered: bool = True, **more: tuple[str, ...]) -> Quotes:
    picked = tuple(Quote(document=document, quote=quote, confidence=sure) for document, quote, sure in quotes)
    return Quotes(quotes=picked, covered=covered, **more)


async def research(
    memory: ListMemory,
    *lines: ScriptLine,
    researcher: Researcher | None = None,
    progress: list[str] | None = None,
    steps: ListedSteps | None = None,
) -> Findings:
    with ScriptedModel(lines) as model:
        ctx = surroundings(model, memory=memory, task="all", progress=progress, steps=steps)
        return await (researcher or Researcher()).handle(ResearchTask(request=QUESTION), ctx)


async def test_it_searches_for_the_parts_and_then_for_what_is_still_open() -> None:
    memory = ListMemory(PAID, COSTS)
    steps = ListedSteps()
    lines = (
        ScriptLine(Inquiry, Inquiry(questions=("how are refunds PAID?", "  How are refunds paid? ", QUESTION, " "))),
        ScriptLine(
            Quotes,
            found(
                ("r-1", "A refund is paid to the original method.", 0.6), covered=False, searches=("customer postage",)
            ),
            reads=(PAID.text,),
        ),
        ScriptLine(
            Quotes,
            found(("s-1", "The customer bears postage.", 0.9), ("r-1", "For gift cards", 0.2)),
            reads=(COSTS.text, "A refund is paid to the original method."),
        ),
    )
    findings = await research(memory, *lines, steps=steps)
    assert memory.queries == [QUESTION, "How are refunds paid?", "customer postage"]
    assert [(one.id, one.source) for one in findings.findings] == [
        ("all-2", "postage.md"),
        ("all-1", "refunds.md"),
        ("all-3", "refunds.md"),
    ]
    assert (findings.searched, findings.covered, findings.confidence) == (2, True, 0.9)
    # Run again after a crash, it needs neither the model nor the memory.
    again = ListMemory()
    assert await research(again, steps=steps) == findings
    assert again.queries == []


async def test_it_reads_on_where_a_passage_is_cut() -> None:
    lines = (
        ScriptLine(Inquiry, Inquiry()),
        ScriptLine(Quotes, found(covered=False, read_on=("r-1", "gone")), reads=(PAID.text,)),
        ScriptLine(Quotes, found(("r-2", CARDS.text, 0.7)), reads=(PAID.text, CARDS.text)),
    )
    progress: list[str] = []
    findings = await research(ListMemory(PAID, CARDS), *lines, progress=progress)
    assert [one.passage for one in findings.findings] == ["r-2"]
    assert progress == [
        "reading 1 passage of 1 document",
        "reading on in refunds.md",
        "reading 2 passages of 1 document",
        "found 1 quote",
    ]


async def test_it_stops_when_all_is_covered() -> None:
    findings = await research(
        ListMemory(PAID, COSTS),
        ScriptLine(Inquiry, Inquiry()),
        ScriptLine(Quotes, found(("r-1", PAID.text, 0.8), searches=("postage",))),
    )
    assert findings.covered


async def test_it_stops_when_nothing_new_comes_up() -> None:
    memory = ListMemory(PAID)
    findings = await research(
        memory,
        ScriptLine(Inquiry, Inquiry()),
        ScriptLine(Quotes, found(covered=False, searches=("whales", QUESTION.upper()), read_on=("r-1",))),
    )
    assert memory.queries == [QUESTION, "whales"]
    assert (findings.findings, findings.covered) == ((), False)


async def test_it_stops_at_its_rounds_and_says_that_not_all_is_covered() -> None:
    memory = ListMemory(PAID, COSTS, record("t-1", "Whales sing.", source="whales.md", place="Whales, line 1"))
    lines = (
        ScriptLine(Inquiry, Inquiry()),
        ScriptLine(Quotes, found(("r-1", PAID.text, 0.8), covered=False, searches=("customer postage",))),
        ScriptLine(Quotes, found(covered=False, searches=("whales",))),
    )
    findings = await research(memory, *lines, researcher=Researcher(rounds=2))
    assert memory.queries == [QUESTION, "customer postage"]
    assert (len(findings.findings), findings.searched, findings.covered) == (1, 2, False)


async def test_it_takes_no_more_passages_than_it_may() -> None:
    memory = ListMemory(PAID, CARDS, COSTS)
    lines = (
        ScriptLine(Inquiry, Inquiry(questions=("customer postage",))),
        ScriptLine(Quotes, found(covered=False, searches=("voucher",), read_on=("r-1",))),
    )
    findings = await research(memory, *lines, researcher=Researcher(most_passages=2))
    assert (findings.searched, findings.covered) == (2, False)


class Fallback:
    """A chain whose first choice is away: `offline` answers in its place."""

    name = "local:large"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        self.asked.append(output_type.__name__)
        return await OfflineModel().generate(
            output_type, instructions=instructions, question=question, documents=documents
        )


async def test_where_offline_stands_in_the_specialists_work_as_with_offline() -> None:
    question = "How are refunds paid?"
    results: list[tuple[Findings, Draft, Review]] = []
    fallback = Fallback()
    for model in (OfflineModel(), fallback):
        memory = ListMemory(record("r-1", "A refund is paid to the original method."))
        researched = await Researcher().handle(ResearchTask(request=question), surroundings(model, memory=memory))
        task = WriteTask(request=question, findings=(researched,))
        draft = await Writer(outline_from=1).handle(task, surroundings(model))
        review = await Reviewer().handle(
            ReviewTask(request=question, draft=draft, findings=(researched,)), surroundings(model)
        )
        results.append((researched, draft, review))
    assert results[0] == results[1]
    assert results[0][1].answered
    assert fallback.asked == ["Inquiry", "Quotes", "Outline", "Draft", "Review"]


FINDINGS = Findings(
    question=QUESTION,
    findings=tuple(
        Finding(id=f"all-{number}", quote=quote, source="refunds.md", confidence=0.9)
        for number, quote in enumerate(("A refund is paid in cash.", "Postage is not refunded.", "We love whales."), 1)
    ),
    covered=False,
)
DRAFT = Draft(
    answered=True,
    claims=(
        Claim(text="A refund is paid in cash.", findings=("all-1",)),
        Claim(text="Postage is not refunded.", findings=("all-2",)),
    ),
)


async def test_a_writer_makes_an_outline_of_what_there_is_and_drafts_by_it() -> None:
    outline = Outline(
        points=(
            Point(says="how it is paid", findings=("all-1", "nope", "all-1")),
            Point(says="invented", findings=("nope",)),
            Point(says="postage", findings=("all-2",)),
        )
    )
    seen: list[Document] = []

    def draft(_: str, documents: Sequence[Document]) -> Draft:
        seen.extend(one for one in documents if one.kind == "text")
        return DRAFT

    with ScriptedModel([ScriptLine(Outline, outline, reads=("We love whales.",)), ScriptLine(Draft, draft)]) as model:
        assert await Writer().handle(WriteTask(request=QUESTION, findings=(FINDINGS,)), surroundings(model)) == DRAFT
    assert [(one.id, one.text, one.refs) for one in seen] == [
        ("point-0", "how it is paid", ("all-1",)),
        ("point-2", "postage", ("all-2",)),
    ]


async def test_a_revision_makes_no_new_outline() -> None:
    notes = Review(verdict="revise", notes=(ReviewNote(claim=0, rule="grounding", problem="not so"),))
    with ScriptedModel([ScriptLine(Draft, DRAFT, reads=("not so",))]) as model:
        task = WriteTask(request=QUESTION, findings=(FINDINGS,), notes=notes, previous=DRAFT)
        assert await Writer().handle(task, surroundings(model)) == DRAFT


async def review(*replies: Review, reviewer: Reviewer | None = None) -> Review:
    with ScriptedModel([ScriptLine(Review, one) for one in replies]) as model:
        task = ReviewTask(request=QUESTION, draft=DRAFT, findings=(FINDINGS,))
        return await (reviewer or Reviewer()).handle(task, surroundings(model))


def checked(*verdicts: tuple[int, bool]) -> Review:
    checks = tuple(ClaimCheck(claim=claim, supported=supported) for claim, supported in verdicts)
    return Review(verdict="approve", reasons="fine", checks=checks)


async def test_a_claim_that_is_not_borne_out_is_sent_back_whatever_the_verdict() -> None:
    said = await review(checked((0, True), (1, False), (7, False)))
    assert said.verdict == "revise"
    assert [(note.claim, note.rule) for note in said.notes] == [(1, "grounding")]
    assert [(one.claim, one.supported) for one in said.checks] == [(0, True), (1, False)]


async def test_claims_beyond_one_call_are_checked_in_another() -> None:
    said = await review(checked((0, True)), checked((1, True), (0, False)), reviewer=Reviewer(claims=1))
    assert said.verdict == "approve"
    assert [one.claim for one in said.checks] == [0, 1]


@pytest.mark.parametrize(("again", "verdict"), [(((1, True),), "approve"), ((), "revise")])
async def test_a_claim_that_was_left_out_is_asked_for_again_and_not_waved_through(
    again: tuple[tuple[int, bool], ...], verdict: str
) -> None:
    said = await review(checked((0, True)), checked(*again))
    assert said.verdict == verdict
    assert [note.claim for note in said.notes] == ([] if again else [1])


async def test_a_plan_may_use_a_role_of_the_users_own() -> None:
    translator = RoleOffer(role="translator", description="Translates a draft.", takes=("draft",), needs=("draft",))
    offers = (*BUILT_IN_ROLES, translator)
    proposal = PlanProposal(
        reason="It is to be in German.",
        tasks=(
            PlannedTask(id="search", role="researcher"),
            PlannedTask(id="text", role="writer", inputs={"findings": ("search",)}),
            PlannedTask(id="german", role="translator", inputs={"draft": "text"}),
        ),
        answer="german",
    )
    line = ScriptLine(
        PlanProposal, proposal, reads=("Translates a draft.\nInputs: draft (needed).", '"answer": "draft"')
    )
    with ScriptedModel([line]) as model:
        planned = await Planner().handle(PlannerTask(request="Auf Deutsch?", roles=offers), surroundings(model))
    assert check_plan(planned.tasks, planned.answer, {one.role: one for one in offers}, PROPOSAL_BOUNDS) == ()


async def test_the_example_plan_keeps_the_rules() -> None:
    seen: list[Document] = []

    def keep(_: str, documents: Sequence[Document]) -> PlanProposal:
        seen.extend(documents)
        return PlanProposal()

    with ScriptedModel([ScriptLine(PlanProposal, keep)]) as model:
        await Planner().handle(PlannerTask(request="what?", roles=BUILT_IN_ROLES), surroundings(model))
    example = PlanProposal.model_validate_json(next(one.text for one in seen if one.id == "example"))
    offers = {one.role: one for one in BUILT_IN_ROLES}
    assert check_plan(example.tasks, example.answer, offers, PROPOSAL_BOUNDS) == ()
