"""What a model wrote, read as an output: with fences, thoughts and kind words around it, or none at all."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.findings import Quote, Quotes
from stretto.shared.models.reply_text import Unfit, read_output

QUOTES = Quotes(quotes=(Quote(document="p-1", quote='He said: "{no}".', confidence=0.5),))
JSON = QUOTES.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        f"  \n{JSON}\n",
        f"```json\n{JSON}\n```",
        f"Gladly! Here it is:\n\n{JSON}\n\nIs there anything else?",
        f'<think>First {{"quotes": []}}, no.</think>{JSON}',
        f'{{"text": "an example"}} and the answer: {JSON}'.replace('{"text": "an example"}', '{"quotes": 1}'),
        f"{{ this is {{ no object }} {JSON}",
    ],
)
def test_the_object_is_found_in_what_stands_around_it(text: str) -> None:
    assert read_output(Quotes, text) == QUOTES


@given(st.text(), st.text())
def test_whatever_stands_around_it_nothing_else_goes_wrong(before: str, after: str) -> None:
    try:
        found = read_output(Quotes, before + JSON + after)
    except Unfit as unfit:
        assert "{" in before  # nothing else can hide it
        assert unfit.kinds  # noqa: PT017 (either outcome is right)
    else:
        assert isinstance(found, Quotes)


@pytest.mark.parametrize("text", ["", "I would rather not.", "[1, 2]", '"{"', "{", '{"quotes": [', "}{"])
def test_a_text_without_an_object_is_unfit(text: str) -> None:
    with pytest.raises(Unfit) as caught:
        read_output(Quotes, text)
    assert caught.value.kinds == "no JSON object"


def test_what_is_wrong_is_told_in_full_to_the_model_and_without_content_to_others() -> None:
    with pytest.raises(Unfit) as caught:
        read_output(Draft, '{"answered": "perhaps", "claims": [{"text": ""}, {"xyzzy": 1}], "xyzzy": "xyzzy"}')
    assert "claims.0.text: String should have at least 1 character" in caught.value.problem
    assert "claims.1.text: Field required" in caught.value.problem
    assert str(caught.value) == "answered: bool_parsing, claims: string_too_short, claims: missing"
    assert caught.value.__context__ is None


@pytest.mark.parametrize("text", ["{" * 200_000, '{"a":' * 100_000, "{[" * 100_000, '{"quotes": ' + "[" * 200_000])
def test_a_text_made_to_keep_us_busy_does_not(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(Unfit):
        read_output(Quotes, text)
    assert time.perf_counter() - began < 2.0
