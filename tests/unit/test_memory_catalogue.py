"""The catalogue, fusion and places: what search by words rests on."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from stretto.shared.contracts.memory import Record, SourceState
from stretto.shared.memory.catalogue import Catalogue
from stretto.shared.memory.place import heading_of, place_of
from stretto.shared.memory.search import fuse


def _record(
    id_: str, text: str, *, root: str = "r", source: str = "s.md", place: str = "", ordinal: int = 0, hash_: str = "h"
) -> Record:
    added_at = datetime(2025, 1, 1, tzinfo=UTC)
    return Record(
        id=id_,
        text=text,
        root=root,
        source=source,
        place=place,
        ordinal=ordinal,
        writer="w",
        hash=hash_,
        added_at=added_at,
    )


def _rank(catalogue: Catalogue, query: str, *roots: str) -> list[str]:
    return catalogue.rank(query, roots=roots, limit=10)


def test_what_stands_around_a_passage_is_of_the_same_version_of_its_document() -> None:
    catalogue = Catalogue(
        [
            *(_record(f"s-{ordinal}", "Tea.", ordinal=ordinal) for ordinal in (3, 0, 2, 1)),
            _record("other-source", "Tea.", source="t.md", ordinal=1),
            _record("other-root", "Tea.", root="q", ordinal=1),
            _record("old", "Tea.", ordinal=2, hash_="older"),
            _record("remembered", "Tea.", source="notes", hash_=""),
            _record("remembered-too", "Tea.", source="notes", hash_=""),
        ]
    )
    assert catalogue.around("s-1", reach=1) == ["s-0", "s-2"]
    assert catalogue.around("s-3", reach=2) == ["s-1", "s-2"]
    assert catalogue.around("remembered", reach=1) == []
    assert catalogue.around("gone", reach=1) == []


def test_words_are_found_in_other_forms_and_in_headings() -> None:
    catalogue = Catalogue(
        [_record("a", "We refunded it."), _record("b", "Tea."), _record("c", "In a week.", place="Refunds, line 3")]
    )
    assert set(_rank(catalogue, "How are refunds handled?")) == {"a", "c"}


def test_a_query_of_question_words_alone_finds_nothing() -> None:
    catalogue = Catalogue([_record("a", "how are the what is it")])
    assert _rank(catalogue, "How is it?") == []


@given(st.text())
def test_any_query_is_a_query(query: str) -> None:
    assert _rank(Catalogue([_record("a", "tea")]), query) in ([], ["a"])


def test_a_rank_is_held_to_its_roots_and_ties_go_by_id() -> None:
    catalogue = Catalogue([_record("b", "tea"), _record("a", "tea"), _record("c", "tea", root="q")])
    assert _rank(catalogue, "tea", "r") == ["a", "b"]
    assert _rank(catalogue, "tea", "nowhere") == []


def test_a_record_put_again_takes_the_place_of_the_old_one() -> None:
    catalogue = Catalogue([_record("a", "tea")])
    catalogue.put([_record("a", "coffee")])
    assert (_rank(catalogue, "tea"), _rank(catalogue, "coffee"), catalogue.count()) == ([], ["a"], 1)
    catalogue.drop(["a", "unknown"])
    assert (_rank(catalogue, "coffee"), catalogue.count()) == ([], 0)


def test_a_document_has_its_hash_only_when_it_is_whole() -> None:
    catalogue = Catalogue(
        [
            _record("a0", "x", source="whole", ordinal=0, hash_="new"),
            _record("a1", "x", source="whole", ordinal=1, hash_="new"),
            _record("b1", "x", source="cut short", ordinal=1, hash_="new"),
            _record("c0", "x", source="half replaced", ordinal=0, hash_="new"),
            _record("c1", "x", source="half replaced", ordinal=1, hash_="old"),
        ]
    )
    assert catalogue.sources() == (
        SourceState(root="r", source="cut short", hash="", passages=1),
        SourceState(root="r", source="half replaced", hash="", passages=2),
        SourceState(root="r", source="whole", hash="new", passages=2),
    )


def test_fusion_prefers_what_both_rankings_have() -> None:
    scores = fuse([["a", "b", "c"], ["d", "b"]])
    assert max(scores, key=lambda id_: scores[id_]) == "b"
    assert scores["a"] == scores["d"] == 1 / 61


@given(st.lists(st.from_regex(r"[A-Z][a-z ]{0,9}[a-z]", fullmatch=True)), st.integers(1, 9999))
def test_the_heading_path_is_read_back_from_a_place(headings: list[str], number: int) -> None:
    for spot in ("line", "page", "paragraph"):
        assert heading_of(place_of(headings, f"{spot} {number}")) == " > ".join(headings)
