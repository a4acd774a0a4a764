"""What a model writes as the arguments of a call: an object that a message can hold, or nothing."""

import pytest

from stretto.bus.codec import encode
from stretto.bus.envelope import Envelope
from stretto.shared.contracts.request import Request
from stretto.shared.models.call_text import arguments_of


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": [1.5, None]}, {"a": [1.5, None]}),
        (" ", {}),
        (f'{{"a": {2**64 - 1}, "b": {-(2**63)}}}', {"a": 2**64 - 1, "b": -(2**63)}),
        (f'{{"a": {2**64}}}', None),
        (f'{{"a": [{-(2**63) - 1}]}}', None),
        ('{"a": "\\ud800"}', None),
        ('{"a": NaN}', None),
        ("[1]", None),
        ('{"a": ', None),
        (object(), None),
    ],
)
def test_arguments_are_an_object_that_a_message_can_hold(written: object, meant: object) -> None:
    found = arguments_of(written)
    assert found == meant
    request = Request(text="x", params=found or {})
    assert encode(Envelope.of(request, tenant="a", run="b", sender="c"))
