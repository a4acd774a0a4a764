"""Sentences: what of a passage can be quoted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.shared.models.offline.plain import sentence_of
from stretto.shared.models.offline.sentences import MAX_SENTENCE_CHARS, sentences_of


def quotes(text: str) -> list[str]:
    return [one.of(text) for one in sentences_of(text)]


def test_prose_is_cut_at_sentences_but_not_at_abbreviations() -> None:
    text = "Refunds over 500 EUR need approval, e.g. by Dr. Smith. Version 3.11 is fine. Is J. Doe in?"
    assert quotes(text) == [
        "Refunds over 500 EUR need approval, e.g. by Dr. Smith.",
        "Version 3.11 is fine.",
        "Is J. Doe in?",
    ]


def test_a_sentence_that_refers_back_brings_the_one_before() -> None:
    assert quotes("Parcels may be lost. We then send another. Prices rise.") == [
        "Parcels may be lost.",
        "Parcels may be lost. We then send another.",
        "Prices rise.",
    ]


@pytest.mark.parametrize(
    "block",
    [
        "```sh\npip install x\n```",
        "    pip install x",
        ".. code-block:: sh\n\n    pip install x",
        "- a receipt\n- a box",
    ],
)
def test_a_colon_and_what_it_introduces_are_one_quote(block: str) -> None:
    found = quotes(f"Do this:\n\n{block}\n\nAll done.")
    assert len(found) == 2
    assert found[0].startswith("Do this:")
    assert found[0].rstrip("`\n").endswith(block.rstrip("`\n").split("\n")[-1])


def test_headings_rules_and_images_are_no_quotes() -> None:
    assert quotes("# Title\n\nOld title\n=========\n\n---\n\n![logo](x.png)\n\nOnly this.") == ["Only this."]


def test_a_row_of_a_table_knows_its_head() -> None:
    text = "| Plan | Price |\n| ---- | ----- |\n| Pro | 10 EUR |\n"
    (row,) = sentences_of(text)
    assert (row.of(text), row.kind, row.lead) == ("| Pro | 10 EUR |", "row", "Plan Price")


def test_a_comment_in_code_is_no_heading() -> None:
    assert quotes("```\n# not a title\nrun --now\n```") == ["# not a title\nrun --now"]


@given(st.text(st.sampled_from("ab .:\n-|#`=>*1?!~\t"), max_size=200))
def test_every_sentence_is_a_short_stretch_of_its_passage(text: str) -> None:
    for one in sentences_of(text):
        assert 0 <= one.start < one.end <= len(text)
        assert len(one.of(text)) <= MAX_SENTENCE_CHARS
        assert one.of(text).strip()


@pytest.mark.parametrize(
    ("quote", "shown"),
    [
        ("See **bold** and [the guide](x.md)", "See bold and the guide."),
        ("Use :func:`~click.echo` or ``print``!", "Use click.echo or `print`!"),
        ("| Pro | 10 EUR |", "Pro, 10 EUR."),
        ("You need:\n\n- the receipt;\n- the box", "You need: the receipt; the box."),
        ("Run:\n\n```\n$ pip install x\n```", "Run: `pip install x`."),
        ("Run::\n\n    a = 1\n    b = 2", "Run:\na = 1\nb = 2"),
        ("Keep 2*3*4 and __init__.", "Keep 2*3*4 and __init__."),
    ],
)
def test_a_quote_is_shown_as_a_sentence(quote: str, shown: str) -> None:
    assert sentence_of(quote) == shown
