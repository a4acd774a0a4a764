"""Failures of effects: what an exception is after it has travelled."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.agents.errors import TaskPermanent
from stretto.bus.effect_failure import EffectFailed, EffectFailure
from stretto.bus.errors import Busy, Conflict
from stretto.bus.step import Step
from stretto.shared.contracts.step import models_of, usage_of
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import BadReply, CannotDo, ModelUnavailable


class Odd(Exception):
    """Made from a number, not from its message."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Holder(Exception):
    """Holds what cannot travel."""


def again(error: Exception) -> Exception:
    """The error as a journal gives it back."""
    return EffectFailure.model_validate_json(EffectFailure.of(error).model_dump_json()).rebuilt()


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        KeyError("missing"),
        LookupError(1, "two", None, 3.5, True),
        TimeoutError(),
        OSError(5, "broken"),
        TaskPermanent("never"),
        CannotDo("no means"),
        Busy("full", retry_in_s=7.0),
        Conflict("a.b"),
        Odd(7),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_as_what_it_was(error: Exception) -> None:
    back = again(error)
    assert type(back) is type(error)
    assert back.args == error.args
    assert str(back) == str(error)
    assert vars(back) == {name: value for name, value in vars(error).items() if not isinstance(value, Usage)}


def test_what_cannot_travel_is_left_out() -> None:
    error = Holder(object(), "x")
    error.handle = object()  # type: ignore[attr-defined]  # as libraries do
    back = again(error)
    assert type(back) is Holder
    assert back.args == (str(error),)
    assert vars(back) == {}


def test_an_error_of_a_class_that_is_not_there_says_what_it_was() -> None:
    class Local(Exception):
        pass

    for failure in (EffectFailure.of(Local("gone")), EffectFailure(error="Nothing", module="no.such", message="gone")):
        back = failure.rebuilt()
        assert isinstance(back, EffectFailed)
        assert back.error == failure.error
        assert "gone" in str(back)


@pytest.mark.parametrize(
    ("module", "error"),
    [("os", "system"), ("builtins", "SystemExit"), ("builtins", "int"), ("sys", "modules"), ("", "")],
)
def test_a_message_makes_nothing_but_exceptions(module: str, error: str) -> None:
    assert isinstance(EffectFailure(error=error, module=module, message="x").rebuilt(), EffectFailed)


@given(st.text(st.characters(), max_size=6_000))
def test_any_text_travels(text: str) -> None:
    failure = EffectFailure.of(ValueError(text))
    assert isinstance(json.loads(failure.model_dump_json()), dict)
    assert type(failure.rebuilt()) is ValueError


def test_usage_counts_replies_calls_of_tools_and_what_failed_in_vain() -> None:
    reply = {"output": {}, "model": "m1", "usage": {"model_calls": 1, "input_tokens": 5}}
    vain = EffectFailure.of(BadReply("no", usage=Usage(model_calls=2, input_tokens=7)))
    free = EffectFailure.of(ModelUnavailable("down"))
    common = {"name": "x", "digest": "d"}
    steps = [
        Step.model_validate({**common, "position": 0, "kind": "model", "output": reply}),
        Step.model_validate({**common, "position": 1, "kind": "model", "output": {**reply, "model": "m2"}}),
        Step.model_validate({**common, "position": 2, "kind": "model", "output": {**reply, "model": "m1"}}),
        Step.model_validate({**common, "position": 3, "kind": "model", "end": "failed", "failure": vain}),
        Step.model_validate({**common, "position": 4, "kind": "model", "end": "failed", "failure": free}),
        Step.model_validate({**common, "position": 5, "kind": "model", "output": "junk"}),
        Step.model_validate({**common, "position": 6, "kind": "tool", "output": None}),
        Step.model_validate({**common, "position": 7, "kind": "tool", "end": "not_done"}),
        Step.model_validate({**common, "position": 8, "kind": "step", "output": reply}),
    ]
    assert usage_of(steps) == Usage(model_calls=5, tool_calls=1, input_tokens=22)
    assert models_of(steps) == ("m1", "m2")
