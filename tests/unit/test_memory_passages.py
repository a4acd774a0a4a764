"""Passages: nothing of a document is lost, and no passage is too long."""

import re

from hypothesis import given
from hypothesis import strategies as st

from stretto.shared.memory.elements import Element, ElementKind, Spot
from stretto.shared.memory.passages import MOST_CHARS, USUAL_CHARS, cut

_CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cs"])
_WORDS = st.lists(
    st.text(_CHARACTERS, min_size=1, max_size=30) | st.sampled_from(["a.", "Why?", "|", "- x", "e.g."]), min_size=1
)


@st.composite
def _documents(draw: st.DrawFn) -> list[Element]:
    elements: list[Element] = []
    for number in range(draw(st.integers(1, 6))):
        words = draw(_WORDS) * draw(st.integers(1, 40))
        between = draw(st.sampled_from([" ", "\n", ". "]))
        text = between.join(words).strip()
        kind: ElementKind = draw(st.sampled_from(["prose", "lines"]))
        headings = (draw(st.sampled_from(["One", "Two"])),)
        spot: Spot = draw(st.sampled_from(["line", "page", "paragraph"]))
        if text:
            elements.append(Element(text, kind, headings, spot, number + 1))
    return elements


def _bare(texts: list[str]) -> str:
    return re.sub(r"\s", "", "".join(texts))


@given(_documents())
def test_nothing_of_a_document_is_lost_but_white_space_and_nothing_is_repeated(elements: list[Element]) -> None:
    assert _bare([one.text for one in cut(elements)]) == _bare([one.text for one in elements])


@given(_documents())
def test_no_passage_is_blank_or_longer_than_the_limit(elements: list[Element]) -> None:
    assert all(one.text.strip() and len(one.text) <= MOST_CHARS for one in cut(elements))


@given(_documents())
def test_a_passage_is_found_word_for_word_in_the_document_except_for_gaps_between_elements(
    elements: list[Element],
) -> None:
    for passage in cut(elements):
        whole = "\n\n".join(one.text for one in elements)
        assert passage.text in whole


def _prose(text: str, number: int = 1, *, headings: tuple[str, ...] = ("H",)) -> Element:
    return Element(text, "prose", headings, "line", number)


def test_a_long_paragraph_is_cut_between_sentences_only() -> None:
    sentences = [f"Sentence number {number} costs 3.50 EUR, e.g. in May, says Dr. Who." for number in range(40)]
    passages = cut([_prose(" ".join(sentences))])
    assert len(passages) > 2
    assert all(one.text.startswith("Sentence") and one.text.endswith("Who.") for one in passages)


def test_the_place_is_the_heading_path_and_the_line_where_the_passage_begins() -> None:
    lines = "\n".join(f"Line {number} of a very long paragraph that goes on and on." for number in range(12, 52))
    passages = cut([_prose(lines, 12, headings=("Refunds", "Timing"))])
    assert passages[0].place == "Refunds > Timing, line 12"
    number = int(re.findall(r"\d+", passages[1].text)[0])
    assert passages[1].place == f"Refunds > Timing, line {number}"


def test_a_passage_never_spans_two_sections_or_two_pages() -> None:
    by_section = cut([_prose("One.", headings=("A",)), _prose("Two.", headings=("B",))])
    by_page = cut([Element("One.", "prose", (), "page", 1), Element("Two.", "prose", (), "page", 2)])
    assert [one.place for one in by_section] == ["A, line 1", "B, line 1"]
    assert [one.place for one in by_page] == ["page 1", "page 2"]


def test_a_table_is_cut_between_rows_and_its_head_is_repeated() -> None:
    head = "| country | days |\n| --- | --- |"
    rows = [f"| country number {number} | {number} working days until it is there |" for number in range(60)]
    passages = cut([Element("\n".join([head, *rows]), "table", (), "line", 1)])
    assert len(passages) > 2
    assert all(one.text.startswith(head) for one in passages)
    assert all(line.startswith("|") and line.endswith("|") for one in passages for line in one.text.split("\n"))
    assert [line for one in passages for line in one.text.split("\n")[2:]] == rows


def test_the_line_above_a_list_stays_with_it() -> None:
    filler, lead = "x" * (USUAL_CHARS - 60) + ".", "These are excluded:"
    passages = cut(
        [
            _prose(f"{filler} {lead}"),
            Element("- gift cards\n- opened software\n- food and flowers", "lines", ("H",), "line", 3),
        ]
    )
    assert any("excluded" in one.text and "gift cards" in one.text for one in passages)


def test_a_short_rest_goes_to_the_passage_before_it() -> None:
    passages = cut([_prose("y" * (USUAL_CHARS - 20)), _prose("A short rest of the section.", 2)])
    assert len(passages) == 1
