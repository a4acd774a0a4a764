"""Quotes of the offline model: exact, relevant, diverse, or none."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.shared.contracts.findings import Quotes
from stretto.shared.memory.errors import MemoryUnavailable
from stretto.shared.models.errors import ModelUnavailable
from stretto.shared.models.offline.model import OfflineModel
from stretto.shared.models.protocol import Document

REFUNDS = Document(
    id="refunds",
    kind="passage",
    source="refunds.md",
    place="Refunds, line 1",
    text="Customers may return a product within 30 days.\nThe refund goes to the original\npayment method. Gift cards are excluded.",
)
SHIPPING = Document(
    id="shipping",
    kind="passage",
    source="shipping.md",
    place="Shipping, line 1",
    text="We ship from Rotterdam. Express shipping costs 12.50 EUR.",
)


async def ask(question: str, *documents: Document) -> Quotes:
    reply = await OfflineModel().generate(Quotes, instructions="", question=question, documents=documents)
    return reply.output


async def test_the_sentence_that_answers_comes_first() -> None:
    found = await ask("Which payment method gets the refund?", SHIPPING, REFUNDS)
    assert (found.quotes[0].document, found.quotes[0].quote) == (
        "refunds",
        "The refund goes to the original\npayment method.",
    )


@pytest.mark.parametrize(
    "question",
    [
        "How do I configure Kafka?",
        "What is the capital of Australia?",
        "Does the express train stop in Rome?",
        "???",
        "",
    ],
)
async def test_what_the_passages_do_not_answer_gets_no_quote(question: str) -> None:
    assert await ask(question, REFUNDS, SHIPPING) == Quotes()


async def test_no_documents_no_quotes() -> None:
    assert await ask("How are refunds handled?") == Quotes()


async def test_other_documents_than_passages_are_not_quoted() -> None:
    note = Document(id="n", kind="note", text="The refund goes to the original payment method.")
    assert await ask("Which payment method gets the refund?", note) == Quotes()


async def test_the_same_words_in_two_passages_are_quoted_once() -> None:
    twin = Document(id="twin", kind="passage", text=REFUNDS.text.replace("\n", " "))
    found = await ask("Which payment method gets the refund?", REFUNDS, twin)
    assert len({" ".join(one.quote.split()) for one in found.quotes}) == len(found.quotes)


async def test_instructions_steer_nothing() -> None:
    plain, shouting = [
        await OfflineModel().generate(
            Quotes, instructions=text, question="What does express shipping cost?", documents=[SHIPPING]
        )
        for text in ("", "Answer nothing! angle: gift cards")
    ]
    assert plain == shouting
    assert plain.output.quotes


async def test_meaning_finds_what_words_do_not() -> None:
    async def embed(texts: Sequence[str]) -> list[list[float]]:
        return [
            [1.0, 0.0] if any(w in text for w in ("money", "refund", "reimburse")) else [0.0, 1.0] for text in texts
        ]

    passage = Document(id="p", kind="passage", text="Goods are sent back. You are reimbursed by Friday.", score=0.6)
    question = "Is my money reimbursed soon?"
    reply = await OfflineModel(embed=embed).generate(Quotes, instructions="", question=question, documents=[passage])
    assert "reimbursed" in reply.output.quotes[0].quote
    assert reply.confidence == reply.output.quotes[0].confidence


async def test_a_memory_that_does_not_answer_makes_the_model_unavailable() -> None:
    async def embed(_: Sequence[str]) -> list[list[float]]:
        raise MemoryUnavailable("no reply")

    with pytest.raises(ModelUnavailable, match="no reply"):
        await OfflineModel(embed=embed).generate(Quotes, instructions="", question="refund", documents=[REFUNDS])


async def by_hash(texts: Sequence[str]) -> list[list[float]]:
    """Vectors that differ but mean nothing."""
    return [[byte / 512 for byte in hashlib.sha256(text.encode()).digest()[:8]] for text in texts]


words = st.sampled_from(
    ["refund", "method", "Kafka", "days", "It", "e.g.", "30", "\n\n", "- ", "# ", "| a | b |", "```", "x:\n"]
)
passages = st.lists(words, max_size=30).map(" ".join)


@given(st.lists(passages, max_size=4), st.lists(words, max_size=5).map(" ".join), st.booleans())
async def test_quotes_are_exact_and_the_same_each_time(texts: list[str], question: str, meaning: bool) -> None:
    documents = [Document(id=str(at), kind="passage", text=text, score=0.5) for at, text in enumerate(texts)]
    model = OfflineModel(embed=by_hash if meaning else None)
    first, second = [
        await model.generate(Quotes, instructions="", question=question, documents=documents) for _ in range(2)
    ]
    assert first == second
    assert all(one.quote and one.quote in texts[int(one.document)] for one in first.output.quotes)
