"""The four specialists: what their code holds to, whatever the model says."""

import asyncio
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from stretto.agents.errors import QuestionExpired
from stretto.agents.escalation import EscalationAgent, EscalationTask
from stretto.agents.exact_quote import find_exact
from stretto.agents.researcher import Researcher, ResearchTask
from stretto.agents.reviewer import Reviewer, ReviewTask
from stretto.agents.writer import Writer, WriteTask
from stretto.shared.contracts.draft import Claim, Draft
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.findings import Finding, Findings, Inquiry, Quote, Quotes
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.review import ClaimCheck, Review, ReviewNote
from stretto.shared.models.offline.model import OfflineModel
from stretto.shared.models.scripted import ScriptedModel, ScriptLine
from tests.unit.agent_world import ListedSteps, ListMemory, record, settle, surroundings

QUESTION = "How are refunds paid?"
REFUNDS = record("r-1", "Refunds take five days.\nA refund is paid\nto the original method.")
SHIPPING = record("r-2", "We ship from Rotterdam.", source="shipping.md", place="Shipping, line 1")
PAID = Finding(id="direct-1", quote="A refund is paid to the original method.", source="refunds.md", confidence=0.9)
FOUND = Findings(question=QUESTION, findings=(PAID,), confidence=0.9)
SENTENCE = "A refund is paid to the original method."


def quotes(*texts: tuple[str, str]) -> Quotes:
    return Quotes(quotes=tuple(Quote(document=document, quote=quote) for document, quote in texts))


async def test_a_researcher_keeps_only_what_stands_in_its_passage() -> None:
    reply = quotes(
        ("r-1", "A refund  is paid to the original method."),
        ("r-1", "Refunds take two days."),
        ("r-2", "Refunds take five days."),
        ("gone", "Refunds take five days."),
        ("r-1", "A refund is paid to the original method."),
        ("r-1", "  "),
        ("r-1", "Refunds take five days."),
    )
    progress: list[str] = []
    lines = [ScriptLine(Inquiry, Inquiry()), ScriptLine(Quotes, reply, asks=QUESTION, reads=(REFUNDS.text,))]
    with ScriptedModel(lines) as model:
        ctx = surroundings(model, memory=ListMemory(REFUNDS, SHIPPING), task="direct", progress=progress)
        found = await Researcher().handle(ResearchTask(request=QUESTION), ctx)
    assert [(one.id, one.quote, one.offset, one.source, one.passage) for one in found.findings] == [
        ("direct-1", "A refund is paid\nto the original method.", 24, "refunds.md", "r-1"),
        ("direct-2", "Refunds take five days.", 0, "refunds.md", "r-1"),
    ]
    assert progress == ["reading 1 passage of 1 document", "found 2 quotes"]


async def test_a_researcher_without_passages_asks_no_model() -> None:
    with ScriptedModel([]) as model:
        found = await Researcher().handle(ResearchTask(request="Who is Kafka?"), surroundings(model))
    assert (found.findings, found.searched, found.confidence) == ((), 0, 0.0)


async def test_an_angle_searches_besides_and_reaches_the_model() -> None:
    memory = ListMemory(REFUNDS, SHIPPING)
    model = OfflineModel()
    task = ResearchTask(request=QUESTION, angle="what it has to do with Rotterdam")
    found = await Researcher().handle(task, surroundings(model, memory=memory))
    assert memory.queries == [QUESTION, f"{QUESTION} (what it has to do with Rotterdam)"]
    assert found.searched == 2


async def test_a_writer_drops_what_cites_nothing_found() -> None:
    reply = Draft(
        answered=True,
        claims=(
            Claim(text="It is paid.", findings=("direct-1", "nope-1", "direct-1")),
            Claim(text="It is blue.", findings=("nope-1",)),
            Claim(text="It is fast."),
        ),
    )
    with ScriptedModel([ScriptLine(Draft, reply)]) as model:
        draft = await Writer().handle(WriteTask(request=QUESTION, findings=(FOUND,)), surroundings(model))
    assert draft.claims == (Claim(text="It is paid.", findings=("direct-1",)),)
    assert "2 of 3 claims were left out" in draft.gap


@pytest.mark.parametrize("claims", [(), (Claim(text="It is blue.", findings=("nope-1",)),)])
async def test_a_draft_without_any_cited_claim_does_not_answer(claims: tuple[Claim, ...]) -> None:
    with ScriptedModel([ScriptLine(Draft, Draft(answered=True, claims=claims))]) as model:
        draft = await Writer().handle(WriteTask(request=QUESTION, findings=(FOUND,)), surroundings(model))
    assert (draft.answered, draft.claims, draft.confidence) == (False, (), 0.0)
    assert draft.gap


async def test_a_writer_without_findings_asks_no_model() -> None:
    with ScriptedModel([]) as model:
        draft = await Writer().handle(
            WriteTask(request=QUESTION, findings=(Findings(question=QUESTION),)), surroundings(model)
        )
    assert not draft.answered
    assert QUESTION in draft.gap


async def test_a_revision_gives_the_model_claims_and_notes() -> None:
    notes = Review(verdict="revise", notes=(ReviewNote(claim=0, rule="grounding", problem="not so"),))
    previous = Draft(answered=True, claims=(Claim(text="It is blue.", findings=("direct-1",)),))
    better = Draft(answered=True, claims=(Claim(text=SENTENCE, findings=("direct-1",)),))
    with ScriptedModel([ScriptLine(Draft, better, reads=("It is blue.", "not so", PAID.quote))]) as model:
        task = WriteTask(request=QUESTION, findings=(FOUND,), notes=notes, previous=previous)
        assert await Writer().handle(task, surroundings(model)) == better


def test_one_researchers_findings_count_as_several() -> None:
    task = WriteTask.model_validate({"request": QUESTION, "findings": FOUND.model_dump()})
    assert task.findings == (FOUND,)


SUPPORTED = (ClaimCheck(claim=0, supported=True),)
APPROVAL = Review(verdict="approve", reasons="fine", checks=SUPPORTED, confidence=0.8)


async def test_no_model_can_approve_what_is_not_grounded() -> None:
    draft = Draft(answered=True, claims=(Claim(text="Whales sing in Norway.", findings=("direct-1",)),))
    with ScriptedModel([ScriptLine(Review, APPROVAL)]) as model:
        review = await Reviewer().handle(
            ReviewTask(request=QUESTION, draft=draft, findings=(FOUND,)), surroundings(model)
        )
    assert review.verdict == "revise"
    assert [(note.claim, note.rule) for note in review.notes] == [(0, "grounding")]


async def test_what_rules_and_model_allow_is_approved() -> None:
    draft = Draft(answered=True, claims=(Claim(text=SENTENCE, findings=("direct-1",)),))
    with ScriptedModel([ScriptLine(Review, APPROVAL)]) as model:
        task = ReviewTask(request=QUESTION, draft=draft, findings=(FOUND,))
        assert await Reviewer().handle(task, surroundings(model)) == APPROVAL


async def test_notes_of_rules_and_model_come_together() -> None:
    draft = Draft(answered=True, claims=(Claim(text="A refund is paid", findings=("direct-1",)),))
    model_note = ReviewNote(rule="completeness", problem="to whom?")
    stray = ReviewNote(claim=7, rule="style", problem="there is no such claim")
    reply = Review(verdict="reject", reasons="no", notes=(model_note, stray), checks=SUPPORTED)
    with ScriptedModel([ScriptLine(Review, reply)]) as model:
        review = await Reviewer().handle(
            ReviewTask(request=QUESTION, draft=draft, findings=(FOUND,)), surroundings(model)
        )
    assert review.verdict == "reject"
    assert [note.rule for note in review.notes] == ["style", "completeness"]


async def test_a_refusal_always_has_a_note() -> None:
    draft = Draft(answered=True, claims=(Claim(text=SENTENCE, findings=("direct-1",)),))
    reply = Review(verdict="revise", reasons="too dry", checks=SUPPORTED)
    with ScriptedModel([ScriptLine(Review, reply)]) as model:
        review = await Reviewer().handle(
            ReviewTask(request=QUESTION, draft=draft, findings=(FOUND,)), surroundings(model)
        )
    assert [note.problem for note in review.notes] == ["too dry"]


async def test_an_honest_gap_is_approved_without_a_model() -> None:
    draft = Draft(answered=False, gap="nothing")
    with ScriptedModel([]) as model:
        review = await Reviewer().handle(
            ReviewTask(request=QUESTION, draft=draft, findings=(Findings(question=QUESTION),)), surroundings(model)
        )
    assert review.verdict == "approve"


async def escalate(
    task: EscalationTask, reply: Escalation, outcome: Literal["answered", "approved", "rejected", "expired"], text: str
) -> tuple[Question, Escalation]:
    """What a person is asked, and what comes of it; the model is asked once."""
    steps, asked = ListedSteps(), asyncio.Queue[Question]()
    with ScriptedModel([ScriptLine(Escalation, reply, reads=("The last word.", "too dry", PAID.quote))]) as model:
        waiting = asyncio.ensure_future(EscalationAgent().handle(task, surroundings(model, steps=steps, asked=asked)))
        question = await asked.get()
        waiting.cancel()
        settled = [settle(question, outcome, text)]
        return question, await EscalationAgent().handle(task, surroundings(model, steps=steps, settled=settled))


ESCALATED = EscalationTask.model_validate(
    {
        "request": QUESTION,
        "previous": {"text": "The last word."},
        "notes": Review(verdict="revise", notes=(ReviewNote(rule="style", problem="too dry"),)),
        "findings": [FOUND.model_dump()],
    }
)
DRY = Escalation(
    question="Dry or not?", summary="It is dry.", open_points=("tone",), options=("yes", "no"), decision="accept"
)


@pytest.mark.parametrize(
    "previous", [{"answered": True, "claims": [{"text": "The last word."}]}, {"text": "The last word."}]
)
async def test_an_escalation_shows_a_person_the_last_output_and_all_notes(previous: dict[str, JsonValue]) -> None:
    task = ESCALATED.model_copy(update={"previous": previous})
    question, _ = await escalate(task, DRY, "approved", "")
    assert (question.kind, question.text, question.summary) == ("question", "Dry or not?", "It is dry.")
    assert question.points == ("tone", "too dry")
    assert question.options == ("yes", "no")


@pytest.mark.parametrize(
    ("outcome", "text", "decision"),
    [
        ("approved", "", "accept"),
        ("approved", "fine", "accept"),
        ("answered", "It is wet.", "replace"),
        ("rejected", "Make it wet.", "revise"),
        ("rejected", " ", "refuse"),
    ],
)
async def test_an_escalation_hands_on_what_a_person_decides(
    outcome: Literal["answered", "approved", "rejected"], text: str, decision: str
) -> None:
    _, made = await escalate(ESCALATED, DRY, outcome, text)
    assert (made.decision, made.words, made.decided_by) == (decision, text, "ann")
    assert made.open_points == ("tone", "too dry")


async def test_an_escalation_that_nobody_decides_fails() -> None:
    with pytest.raises(QuestionExpired):
        await escalate(ESCALATED, DRY, "expired", "")


async def test_an_overlong_question_is_cut() -> None:
    question, _ = await escalate(ESCALATED, DRY.model_copy(update={"question": "x" * 5_000}), "approved", "")
    assert len(question.text) == 4_000


async def test_offline_the_four_make_a_cited_answer_or_none() -> None:
    model = OfflineModel()
    memory = ListMemory(REFUNDS, SHIPPING)
    for question, answered in ((QUESTION, True), ("How do I configure Kafka for refunds in Rust?", False)):
        found = await Researcher().handle(
            ResearchTask(request=question), surroundings(model, memory=memory, task="direct")
        )
        draft = await Writer().handle(WriteTask(request=question, findings=(found,)), surroundings(model))
        review = await Reviewer().handle(
            ReviewTask(request=question, draft=draft, findings=(found,)), surroundings(model)
        )
        assert draft.answered is answered
        assert review.verdict == "approve"
        assert {ref for claim in draft.claims for ref in claim.findings} <= {one.id for one in found.findings}


@given(st.text("ab \n\t.*(", max_size=40), st.text("ab \n\t.*(", max_size=8))
def test_an_exact_quote_is_a_stretch_of_the_passage_with_the_same_words(passage: str, quote: str) -> None:
    found = find_exact(quote, passage)
    if found is None:
        assert not quote.strip() or quote not in passage
    else:
        offset, words = found
        assert passage[offset : offset + len(words)] == words
        assert words.split() == quote.split()
