"""What servers say when something is wrong, as errors of ours; and how long they want us to wait."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.shared.models.errors import CannotDo, ContextOverflow, ModelError, ModelUnavailable, RateLimited
from stretto.shared.models.fault import Fault, ShapeRefused
from stretto.shared.models.retry_after import retry_after_s

NOW = datetime(2026, 11, 5, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Thu, 05 Nov 2026 12:01:30 GMT"}, 90.0),
        ({"retry-after": "Thu, 05 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1000000"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_the_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, now=NOW) == seconds


@given(st.text())
def test_no_header_brings_us_down(text: str) -> None:
    found = retry_after_s({"retry-after": text, "retry-after-ms": text}, now=NOW)
    assert found is None or 0 <= found <= 86_400


SECRETS = st.text().map(lambda text: f"Zq9 {text}")


@given(
    st.one_of(st.none(), st.integers(300, 599)),
    st.recursive(
        st.one_of(st.none(), st.integers(), SECRETS),
        lambda inner: st.one_of(
            st.lists(inner), st.dictionaries(st.sampled_from(["error", "type", "code", "message", "param"]), inner)
        ),
    ),
)
def test_any_body_makes_an_error_that_tells_nothing_of_it(status: int | None, body: object) -> None:
    error = Fault.of(status, body).error("a:b", shaped=True)
    assert isinstance(error, ModelError)
    assert "Zq9" not in f"{error} {vars(error)}"


def test_a_schema_is_refused_only_where_one_was_sent() -> None:
    fault = Fault.of(400, {"error": {"type": "invalid_request_error", "message": "response_format is not supported"}})
    assert isinstance(fault.error("a:b", shaped=True), ShapeRefused)
    assert isinstance(fault.error("a:b", shaped=False), CannotDo)


def said(message: str, kind: str = "invalid_request_error") -> dict[str, object]:
    return {"error": {"type": kind, "message": message, "param": None, "code": 400}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # llama.cpp
        (
            400,
            said("request (15030 tokens) exceeds the available context size", "exceed_context_size_error"),
            ContextOverflow,
        ),
        (400, said("JSON schema error at #: unrecognized type foo"), ShapeRefused),
        # vLLM
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens."}, ContextOverflow),
        # servers that refuse fields which they do not know
        (422, {"detail": [{"loc": ["body", "response_format"], "msg": "extra fields not permitted"}]}, ShapeRefused),
        # Anthropic
        (400, said("output_config.format: Extra inputs are not permitted"), ShapeRefused),
        (400, said("input length and `max_tokens` exceed context limit"), ContextOverflow),
        # a proxy's own words
        (502, "<html>Bad Gateway</html>", ModelUnavailable),
        (429, "slow down", RateLimited),
    ],
)
def test_what_known_servers_say_is_understood(status: int, body: object, kind: type[ModelError]) -> None:
    assert type(Fault.of(status, body).error("a:b", shaped=True)) is kind
