"""LocalMemory over a real ChromaDB and the real embedder."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stretto.shared.contracts.memory import Hits, Record
from stretto.shared.memory.embedder import MiniLM
from stretto.shared.memory.errors import MemoryRefused
from stretto.shared.memory.local import LocalMemory
from stretto.shared.memory.protocol import Memory
from stretto.shared.memory.store import VectorStore
from tests.integration.memory_world import WordEmbedder, record

_TEXTS = {
    "refund": "Support checks the return; then the money goes back to the original payment method within 5 working days.",
    "shipping": "Express shipping costs 12.50 EUR and takes one working day.",
    "leave": "Each parent may take 16 weeks of fully paid leave after the birth of a child.",
    "laptop": "Report a stolen laptop to the security desk within one hour.",
    "code": "Set STRETTO_DATA_DIR to the directory that holds everything.",
}


@pytest.fixture(scope="module")
def embedder() -> MiniLM:
    return MiniLM()


@pytest.fixture
def store(tmp_path: Path, embedder: MiniLM) -> Iterator[VectorStore]:
    with VectorStore(tmp_path, embedder=embedder.name, dimensions=embedder.dimensions) as opened:
        yield opened


@pytest.fixture
def memory(store: VectorStore, embedder: MiniLM) -> Memory:
    return LocalMemory(tenant="acme", store=store, embedder=embedder)


def _plain(id_: str, text: str, root: str = "/docs") -> Record:
    return record(id_, text, root=root).model_copy(update={"place": ""})


def _ids(hits: Hits) -> list[str]:
    return [one.record.id for one in hits.hits]


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("How do customers get reimbursed?", "refund"),
        ("What does faster delivery cost?", "shipping"),
        ("maternity", "leave"),
        ("My computer was taken by a thief", "laptop"),
        ("STRETTO_DATA_DIR", "code"),
    ],
)
async def test_questions_find_the_passage_that_answers_them_by_meaning_or_by_words(
    memory: Memory, question: str, best: str
) -> None:
    await memory.add([_plain(id_, text) for id_, text in _TEXTS.items()])
    hits = await memory.search(question)
    assert _ids(hits)[0] == best
    assert hits.searched == len(_TEXTS)


async def test_similarity_is_the_cosine_also_of_hits_by_words_alone(memory: Memory) -> None:
    texts = [f"Ownership of part {number} lies with its maker." for number in range(60)] + ["Call the zyx helpline."]
    await memory.add([_plain(f"{number:02}", text) for number, text in enumerate(texts)])
    question = "Who owns the parts, asks zyx?"
    asked, *vectors = np.array(await memory.embed([question, *texts]))
    hits = (await memory.search(question, limit=5)).hits
    assert "60" in [one.record.id for one in hits]
    for one in hits:
        assert one.similarity == pytest.approx(float(asked @ vectors[int(one.record.id)]), abs=1e-5)
    assert [one.score for one in hits] == sorted((one.score for one in hits), reverse=True)


async def test_a_heading_counts_for_the_passage_below_it(memory: Memory) -> None:
    below = record("below", "Within 14 days.").model_copy(update={"place": "Refunds > Timing, line 3"})
    other = record("other", "Within 14 days, or it is lost.").model_copy(update={"place": "Parking, line 9"})
    await memory.add([other, below])
    assert _ids(await memory.search("When do I get my money back?"))[0] == "below"


async def test_what_another_hit_says_word_for_word_is_no_second_hit_but_one_word_makes_a_difference(
    memory: Memory,
) -> None:
    await memory.add(
        [
            _plain("a", "Refunds are possible within 14 days."),
            _plain("b", "REFUNDS are  possible within 14 days!", root="/copy"),
            _plain("c", "Refunds are not possible within 14 days."),
            _plain("d", "Refunds are possible within 30 days."),
        ]
    )
    found = set(_ids(await memory.search("Are refunds possible?")))
    assert found in ({"a", "c", "d"}, {"b", "c", "d"})


async def test_the_same_search_has_the_same_order_whatever_the_order_of_adding(
    memory: Memory, store: VectorStore, embedder: MiniLM
) -> None:
    records = [_plain(f"{number:02}", f"Tea number {number} is a tea.") for number in range(50)]
    other = LocalMemory(tenant="other", store=store, embedder=embedder)
    await memory.add(records)
    await other.add(records[::-1])
    assert _ids(await memory.search("tea", limit=20)) == _ids(await other.search("tea", limit=20))


async def test_a_scope_limits_hits_and_count(memory: Memory) -> None:
    await memory.add([_plain("a", "tea", root="/a"), _plain("b", "tea leaf", root="/b")])
    hits = await memory.search("tea", scope=["/b"])
    assert (_ids(hits), hits.searched) == (["b"], 1)
    assert await memory.search("tea", scope=["/nowhere"]) == Hits()


async def test_an_empty_memory_has_no_hits(memory: Memory) -> None:
    assert await memory.search("tea") == Hits()
    assert await memory.add([]) == 0
    assert (await memory.stats()).records == 0


async def test_a_search_comes_through_while_records_are_added(memory: Memory) -> None:
    await memory.add([_plain("known", "Green tea is steamed.")])
    texts = [f"Passage {number} about nothing in particular. " * 10 for number in range(300)]
    async with asyncio.TaskGroup() as group:
        adding = group.create_task(memory.add([_plain(f"{number}", text) for number, text in enumerate(texts)]))
        assert _ids(await memory.search("green tea", limit=1)) == ["known"]
        assert not adding.done()
    assert (await memory.stats()).records == 301


async def test_it_gives_the_passages_around_one(memory: Memory) -> None:
    await memory.add([record(f"p{position}", f"Part {position}.", ordinal=position) for position in range(4)])
    assert [one.text for one in await memory.around("p1")] == ["Part 0.", "Part 2."]
    assert await memory.around("gone") == ()


@pytest.mark.parametrize("query", ["", " \n", "\u200b\u200b", "\ud800"])
async def test_a_blank_query_is_refused(memory: Memory, query: str) -> None:
    with pytest.raises(MemoryRefused, match="empty"):
        await memory.search(query)


@pytest.mark.parametrize("limit", [0, 201])
async def test_an_impossible_limit_is_refused(memory: Memory, limit: int) -> None:
    with pytest.raises(MemoryRefused, match="limit"):
        await memory.search("tea", limit=limit)


async def test_forget_says_what_it_needs(memory: Memory) -> None:
    with pytest.raises(MemoryRefused, match="say what"):
        await memory.forget()
    with pytest.raises(MemoryRefused, match="say what"):
        await memory.forget(root="/docs", everything=True)


async def test_everything_forgotten_is_found_no_more(memory: Memory) -> None:
    await memory.add([_plain("a", "tea"), _plain("b", "coffee")])
    assert await memory.forget(everything=True) == 2
    assert (await memory.search("tea"), await memory.sources(), await memory.get(["a"])) == (Hits(), (), ())
    await memory.add([_plain("a", "tea")])
    assert _ids(await memory.search("tea")) == ["a"]


def test_vectors_are_of_length_one_and_hardly_depend_on_what_else_is_in_the_batch(embedder: MiniLM) -> None:
    texts = ["tea", "A much longer text. " * 40, "", "word " * 2000, "Größe 🍵"]
    together = embedder.embed(texts)
    assert together.shape == (5, 384)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    for row, text in enumerate(texts):
        assert float(embedder.embed([text])[0] @ together[row]) > 0.9999
    assert embedder.embed([]).shape == (0, 384)


async def test_two_tenants_of_one_store_share_nothing(store: VectorStore) -> None:
    quick = WordEmbedder(dimensions=384)
    ours, theirs = (LocalMemory(tenant=tenant, store=store, embedder=quick) for tenant in ("ours", "theirs"))
    await theirs.add([_plain("a", "tea")])
    assert await ours.search("tea") == Hits()
    assert await ours.forget(everything=True) == 0
    assert (await theirs.stats()).records == 1
