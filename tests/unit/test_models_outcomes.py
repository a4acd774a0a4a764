"""What a model's error means for the task, and that it comes back out of a journal as it was."""

import pytest

from stretto.agents.outcome import failure_of
from stretto.bus.effect_failure import EffectFailure
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import (
    BadReply,
    CannotDo,
    ContextOverflow,
    KeyMissing,
    ModelError,
    ModelUnavailable,
    NotConfigured,
    Overloaded,
    RateLimited,
    Refused,
    TimedOut,
    Truncated,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimited("x"), "retryable"),
        (Overloaded("x"), "retryable"),
        (TimedOut("x"), "retryable"),
        (ModelUnavailable("x"), "retryable"),
        (BadReply("x"), "retryable"),
        (Refused("x"), "permanent"),
        (Truncated("x"), "permanent"),
        (ContextOverflow("x"), "permanent"),
        (CannotDo("x"), "permanent"),
        (NotConfigured("x"), "misconfigured"),
        (KeyMissing("x"), "misconfigured"),
    ],
)
def test_a_task_is_tried_again_only_where_that_may_help(error: ModelError, kind: str) -> None:
    failure = failure_of(error)
    assert failure.kind == kind
    assert failure.error == type(error).__name__


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("slow down", retry_after_s=1.5, request_id="req_1", usage=Usage(model_calls=1)),
        Refused("no", category="cyber"),
        TimedOut("too late"),
    ],
)
def test_an_error_comes_back_from_a_journal_with_what_the_caller_needs(error: ModelError) -> None:
    again = EffectFailure.model_validate_json(EffectFailure.of(error).model_dump_json()).rebuilt()
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert isinstance(again, ModelError)
    assert again.request_id == error.request_id
    assert again.usage == Usage()  # what it took was counted when it happened
    if isinstance(again, ModelUnavailable) and isinstance(error, ModelUnavailable):
        assert again.retry_after_s == error.retry_after_s
    if isinstance(again, Refused) and isinstance(error, Refused):
        assert again.category == error.category
