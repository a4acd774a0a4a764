"""What is told of messages that are sent and handled: where their spans hang, what they say, and what they must not."""

import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from stretto.bus import conventions as c
from stretto.bus import tracing
from stretto.bus.errors import Busy, Conflict, TimedOut
from stretto.bus.hops import Handling, Sending, tell_message
from tests.measures import measuring
from tests.spans import Recorded, attributes_of, recording, texts_of

TENANT = "acme"
RUN = "r1"
RESULT = "stretto.run.{run}.result"
FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording() as recorded:
        yield recorded


def send(message_id: str = "m1") -> Mapping[str, str]:
    with Sending(RESULT, tenant=TENANT, run=RUN, message_id=message_id) as sending:
        return sending.headers


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def test_who_handles_a_message_hangs_under_who_sent_it(recorded: Recorded) -> None:
    with Handling(RESULT, tenant=TENANT, run=RUN, headers=send(), attributes={c.MESSAGING_DELIVERY: 2}):
        tell_message("m1")
        send("m2")
    first, second, handled = recorded.spans
    assert [one.name for one in recorded.spans] == [f"send {RESULT}", f"send {RESULT}", f"process {RESULT}"]
    assert parent_of(first) == tracing.root_of(TENANT, RUN).span_id
    assert parent_of(handled) == first.context.span_id
    assert parent_of(second) == handled.context.span_id
    assert {one.context.trace_id for one in recorded.spans} == {tracing.root_of(TENANT, RUN).trace_id}
    assert (first.kind, handled.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert attributes_of(first) == {
        c.MESSAGING_SYSTEM: "nats",
        c.MESSAGING_OPERATION_NAME: "send",
        c.MESSAGING_OPERATION_TYPE: "send",
        c.MESSAGING_DESTINATION: RESULT,
        c.MESSAGING_MESSAGE_ID: "m1",
        c.MESSAGING_CONVERSATION_ID: RUN,
    }
    assert attributes_of(handled) == {
        **attributes_of(first),
        c.MESSAGING_OPERATION_NAME: "process",
        c.MESSAGING_OPERATION_TYPE: "process",
        c.MESSAGING_DELIVERY: 2,
    }


def test_a_message_that_comes_again_has_sibling_spans(recorded: Recorded) -> None:
    headers = send()
    for _ in range(2):
        with Handling(RESULT, tenant=TENANT, run=RUN, headers=headers):
            pass
    sent, *handled = recorded.spans
    assert [parent_of(one) for one in handled] == [sent.context.span_id] * 2


@pytest.mark.parametrize("refusal", [Conflict("another one is there"), Busy("full")])
def test_what_the_server_refuses_for_what_is_there_already_is_not_told(recorded: Recorded, refusal: Exception) -> None:
    with (
        measuring() as measured,
        pytest.raises(type(refusal)),
        Sending(RESULT, tenant=TENANT, run=RUN, message_id="m1"),
    ):
        raise refusal
    assert not recorded.spans
    assert not measured.points.get("messaging.client.operation.duration")


def test_failures_are_told_by_their_type_alone(recorded: Recorded) -> None:
    with measuring() as measured:
        with pytest.raises(TimedOut), Sending(RESULT, tenant=TENANT, run=RUN, message_id="m1"):
            raise TimedOut("secret")
        with pytest.raises(ValueError, match="secret"), Handling(RESULT, tenant=TENANT, run=RUN, headers=None):
            raise ValueError("secret")
    for span, error in zip(recorded.spans, ("TimedOut", "ValueError"), strict=True):
        assert span.status.status_code is StatusCode.ERROR
        assert attributes_of(span)[c.ERROR_TYPE] == error
        assert "secret" not in texts_of(span)
    labels = {c.MESSAGING_SYSTEM: "nats", c.MESSAGING_DESTINATION: RESULT}
    for metric, operation, error in (
        ("messaging.client.operation.duration", "send", "TimedOut"),
        ("messaging.process.duration", "process", "ValueError"),
    ):
        (point,) = measured.points[metric]
        asked = {c.MESSAGING_OPERATION_NAME: operation, c.MESSAGING_OPERATION_TYPE: operation}
        assert point.labels == {**labels, **asked, c.ERROR_TYPE: error}
        assert (point.count, point.bounds[0], point.bounds[-1]) == (1, 0.005, 10)


def test_a_host_applications_own_trace_is_linked_to_and_not_joined(recorded: Recorded) -> None:
    with trace.get_tracer("host").start_as_current_span("its own") as host:
        send()
    sent = recorded.one(f"send {RESULT}")
    assert sent.parent == tracing.root_of(TENANT, RUN)
    (link,) = sent.links
    assert (link.context, dict(link.attributes or {})) == (host.get_span_context(), {c.LINK: "caller"})


def test_a_message_of_another_trace_is_linked_to_and_not_joined(recorded: Recorded) -> None:
    with Handling(RESULT, tenant=TENANT, run=RUN, headers={"traceparent": FOREIGN, "tracestate": "who=me"}):
        pass
    (handled,) = recorded.spans
    assert handled.parent == tracing.root_of(TENANT, RUN)
    (link,) = handled.links
    assert f"{link.context.trace_id:032x}" == FOREIGN.split("-")[1]
    assert "who=me" not in texts_of(handled)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "junk",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        FOREIGN.upper(),
        FOREIGN + "-more",
        "ff" + FOREIGN[2:],
        "0" * 10_000,
        FOREIGN.replace("0af7", "\N{ARABIC-INDIC DIGIT ZERO}af7"),
        f"00-{tracing.trace_of(TENANT, RUN)}-nothex0000000000-01",
    ],
)
def test_a_header_that_says_no_span_changes_nothing(recorded: Recorded, said: str) -> None:
    with Handling(RESULT, tenant=TENANT, run=RUN, headers={"traceparent": said, "tracestate": said}):
        assert set(tracing.headers_of()) == {"traceparent"}
    (handled,) = recorded.spans
    assert handled.parent == tracing.root_of(TENANT, RUN)
    assert not handled.links


def test_a_call_outside_of_all_runs_hangs_under_its_caller_or_nothing(recorded: Recorded) -> None:
    with Handling("stretto.memory.{verb}", tenant="acme", run="", headers={"traceparent": FOREIGN}):
        pass
    with Handling("stretto.memory.{verb}", tenant="acme", run="", headers=None):
        pass
    called, alone = recorded.spans
    assert called.parent is not None
    assert f"{called.parent.span_id:016x}" == FOREIGN.split("-")[2]
    assert alone.parent is None
    assert c.MESSAGING_CONVERSATION_ID not in attributes_of(alone)


def test_a_link_leads_to_spans_of_the_same_run_only(recorded: Recorded) -> None:
    (link,) = tracing.link_from(send(), TENANT, RUN, "resume")
    assert link.context.span_id == recorded.spans[0].context.span_id
    assert not tracing.link_from({"traceparent": FOREIGN}, TENANT, RUN, "resume")
    assert not tracing.link_from({}, TENANT, RUN, "resume")


NOBODY = """
from opentelemetry import trace
from stretto.bus import tracing
from stretto.bus.hops import Handling, Sending

with Sending("a", tenant="t1", run="r1", message_id="m1") as sending:
    assert sending.headers == {}, sending.headers
with Handling("a", tenant="t1", run="r1", headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}):
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert tracing.headers_of() == {}
with tracing.span("a") as span:
    assert span is trace.INVALID_SPAN
"""


def test_where_nobody_records_spans_no_header_is_sent() -> None:
    # In a process of its own: here somebody does, for good.
    subprocess.run([sys.executable, "-W", "error", "-c", NOBODY], check=True)


def test_runs_of_two_tenants_never_share_a_trace_though_they_have_the_same_id() -> None:
    assert tracing.trace_of("acme", "first") != tracing.trace_of("rival", "first")
    said = {"traceparent": f"00-{tracing.trace_of('rival', 'first')}-{'b' * 16}-01"}
    with recording() as recorded, Handling(RESULT, tenant="acme", run="first", headers=said):
        pass
    (handled,) = recorded.spans
    assert handled.context.trace_id == tracing.root_of("acme", "first").trace_id
