"""Drafts, reviews, escalations, plans and other outputs of the offline model."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.proposal import PlanProposal
from stretto.shared.contracts.review import Review
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import BadReply, CannotDo
from stretto.shared.models.offline.model import OfflineModel
from stretto.shared.models.protocol import Document, Output

QUESTION = "How are refunds handled?"


def finding(id_: str, text: str, *, source: str = "refunds.md", score: float | None = 0.8) -> Document:
    return Document(id=id_, text=text, kind="finding", source=source, place="Refunds, line 3", score=score)


CHECK = finding("f-1", "Support checks the refund within two days.")
MONEY = finding("f-2", "The refund goes back to the original payment method.", score=0.9)
TWIN = finding("g-1", "the refund goes back to the *original* payment method", score=0.7)
WEATHER = finding("f-3", "It often rains in Bergen.", source="weather.md", score=None)


async def make(output_type: type[Output], *documents: Document, question: str = QUESTION) -> Output:
    reply = await OfflineModel().generate(output_type, instructions="", question=question, documents=documents)
    assert (reply.model, reply.usage) == ("offline", Usage(model_calls=1))
    return reply.output


async def test_each_claim_is_a_finding_and_cites_it() -> None:
    draft = await make(Draft, CHECK, MONEY, WEATHER)
    assert draft.answered
    assert [(claim.text, claim.findings) for claim in draft.claims] == [(CHECK.text, ("f-1",)), (MONEY.text, ("f-2",))]


async def test_what_two_researchers_found_is_said_once_and_cites_both() -> None:
    draft = await make(Draft, MONEY, TWIN)
    assert [claim.findings for claim in draft.claims] == [("f-2", "g-1")]


@pytest.mark.parametrize("documents", [(), (WEATHER,)])
async def test_a_draft_says_so_when_nothing_answers(documents: tuple[Document, ...]) -> None:
    draft = await make(Draft, *documents)
    assert (draft.answered, draft.claims, draft.confidence) == (False, (), 0.0)
    assert QUESTION in draft.gap


async def test_a_claim_that_a_note_is_about_is_left_out() -> None:
    claim = Document(id="claim-0", kind="claim", text=CHECK.text, refs=("f-1",))
    note = Document(id="note-0", kind="note", text="it is wrong", refs=("claim-0",))
    draft = await make(Draft, CHECK, MONEY, claim, note)
    assert [one.findings for one in draft.claims] == [("f-2",)]


async def test_a_draft_whose_claims_are_all_refused_does_not_answer() -> None:
    claim = Document(id="claim-0", kind="claim", text=CHECK.text, refs=("f-1",))
    note = Document(id="note-0", kind="note", text="it is wrong", refs=("claim-0",))
    draft = await make(Draft, CHECK, claim, note)
    assert not draft.answered
    assert "refused" in draft.gap


def claims(*texts: tuple[str, tuple[str, ...]]) -> list[Document]:
    return [Document(id=f"claim-{at}", kind="claim", text=text, refs=refs) for at, (text, refs) in enumerate(texts)]


async def test_a_grounded_draft_is_approved() -> None:
    review = await make(Review, *claims((MONEY.text, ("f-2",))), MONEY)
    assert (review.verdict, review.notes, review.confidence) == ("approve", (), 1.0)


@pytest.mark.parametrize(
    ("text", "refs", "rule", "problem"),
    [
        ("The refund goes back to the original payment method.", (), "grounding", "cites no finding"),
        ("The refund goes back to the original payment method.", ("x-9",), "grounding", "x-9"),
        ("Refunds need the written consent of the board in Oslo.", ("f-2",), "grounding", "of its words"),
        ("The refund goes back to the original payment method in 9 days.", ("f-2",), "grounding", "do not say 9"),
        ("The refund goes back to the original payment method", ("f-2",), "style", "end"),
        ("The refund " * 129 + "The refund.", ("f-2",), "style", "260 words"),
    ],
)
async def test_a_fault_is_noted_with_its_rule(text: str, refs: tuple[str, ...], rule: str, problem: str) -> None:
    review = await make(Review, *claims((text, refs)), MONEY)
    assert review.verdict == "revise"
    assert any(note.rule == rule and problem in note.problem and note.claim == 0 for note in review.notes)


async def test_repetition_is_noted_at_the_later_claim() -> None:
    review = await make(Review, *claims((MONEY.text, ("f-2",)), (MONEY.text, ("f-2",))), MONEY)
    assert [(note.claim, note.rule) for note in review.notes] == [(1, "style")]


async def test_a_draft_that_speaks_of_something_else_is_incomplete() -> None:
    weather = Document(id="f-3", text=WEATHER.text, kind="finding", source="weather.md")
    review = await make(Review, *claims((weather.text, ("f-3",))), weather, MONEY)
    assert [note.rule for note in review.notes] == ["completeness"]
    assert "refunds" in review.notes[0].problem


async def test_silence_is_approved_only_when_nothing_answers() -> None:
    assert (await make(Review, WEATHER)).verdict == "approve"
    assert (await make(Review, MONEY)).verdict == "revise"


async def test_an_escalation_holds_request_draft_and_notes() -> None:
    note = Document(id="note-0", kind="note", text="it cites no finding")
    made = await make(Escalation, MONEY, *claims(("The last word.", ())), note)
    assert QUESTION in made.question
    assert "The last word." in made.summary
    assert made.open_points == ("it cites no finding",)
    assert "Accept the last draft as it is" in made.options


def roles(*names: str) -> list[Document]:
    return [Document(id=name, kind="role", text=f"Does {name}.") for name in names]


async def test_the_plan_uses_the_roles_that_there_are() -> None:
    whole = await make(PlanProposal, *roles("researcher", "writer", "reviewer", "escalation", "translator"))
    assert [task.role for task in whole.tasks] == ["researcher", "researcher", "writer", "reviewer", "escalation"]
    assert whole.answer == "draft"
    revision = whole.tasks[3].revision
    assert revision is not None
    assert (revision.task, revision.then) == ("draft", "escalate")
    bare = await make(PlanProposal, *roles("researcher"))
    assert ([task.id for task in bare.tasks], bare.answer) == (["research"], "research")
    no_escalation = await make(PlanProposal, *roles("researcher", "writer", "reviewer"))
    assert no_escalation.tasks[-1].revision is not None
    assert no_escalation.tasks[-1].revision.then is None


async def test_without_a_researcher_there_is_no_plan() -> None:
    with pytest.raises(CannotDo, match="researcher"):
        await make(PlanProposal, *roles("writer"))


class Summary(BaseModel):
    text: str
    points: list[str]
    title: str = "untitled"


async def test_any_type_made_of_texts_is_filled_from_the_documents() -> None:
    document = Document(id="t", text="Refunds take five days. The refund is paid in full. Bergen is rainy.")
    made = await make(Summary, document, question="How long do refunds take?")
    assert made.points[0] == "Refunds take five days."
    assert made.text.startswith("Refunds take five days. The refund is paid in full.")
    assert made.title == "untitled"


async def test_without_a_question_the_text_begins_where_the_document_does() -> None:
    document = Document(id="t", text="One thing. Two things. Three things. Four things.")
    made = await make(Summary, document, question="")
    assert made.text == "One thing. Two things. Three things."


class Mood(BaseModel):
    mood: Literal["good", "bad"]


class Tiny(BaseModel):
    text: Annotated[str, Field(max_length=3)]


async def test_what_cannot_be_extracted_is_named() -> None:
    document = Document(id="t", text="All is well.")
    with pytest.raises(CannotDo, match=r"Mood\.mood"):
        await make(Mood, document)
    with pytest.raises(CannotDo, match=r"Summary\.text"):
        await make(Summary)
    with pytest.raises(BadReply, match=r"Tiny.*text"):
        await make(Tiny, document, question="")
