"""Phoenix, which is not ours, takes a run's spans and shows agents, model calls, tools, tokens and conversations."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.bus.tracing import root_of, trace_of
from tests.acceptance.command import wait_until
from tests.acceptance.phoenix import Phoenix, open_phoenix
from tests.acceptance.traced import SERVICES, Traced, open_provider

pytestmark = pytest.mark.slow

PROJECT = "stretto"
TOKENS = """{
  projects { edges { node {
    name tokenCountPrompt tokenCountCompletion
    sessions(first: 10) { edges { node { sessionId numTraces tokenUsage { prompt completion } } } }
  } } }
}"""


@pytest.fixture
def phoenix(tmp_path: Path) -> Iterator[Phoenix]:
    (tmp_path / "phoenix").mkdir()
    with open_phoenix(tmp_path / "phoenix") as phoenix:
        yield phoenix


def test_it_shows_what_a_conversation_did(phoenix: Phoenix, nats_url: str, tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    with contextlib.ExitStack() as stack:
        world = Traced(
            tmp_path / "user",
            nats_url=nats_url,
            prefix=f"test-{uuid.uuid4().hex[:12]}",
            provider=stack.enter_context(open_provider()),
            exporting={
                "OTEL_EXPORTER_OTLP_ENDPOINT": phoenix.url,
                "OTEL_RESOURCE_ATTRIBUTES": f"openinference.project.name={PROJECT}",
            },
            stack=stack,
        )
        for service in (*SERVICES, "agent run writer", "agent run traced_team:Scribe"):
            world.start(service)
        world.wait_for_roles("memory", "supervisor", "researcher", "writer", "reviewer", "scribe")
        answered = world.ask("When is a refund paid?", "--docs", "handbook", "--conversation", "thread")
        written = world.ask("write", "--playbook", "scribe", "--conversation", "thread")
        world.stop()

    roots = {f"{root_of('default', run).span_id:016x}" for run in (answered, written)}
    wait_until(lambda: roots <= {one["context"]["span_id"] for one in phoenix.spans(PROJECT)}, "the runs are shown")
    traces = {trace_of("default", answered), trace_of("default", written)}
    spans = [one for one in phoenix.spans(PROJECT) if one["context"]["trace_id"] in traces]
    shown = {one["context"]["span_id"]: one for one in spans}
    assert {span for span, one in shown.items() if not one["parent_id"]} == roots
    assert all(one["parent_id"] in shown for span, one in shown.items() if span not in roots)

    assert {one["name"] for one in spans if one["span_kind"] == "AGENT"} == {
        f"invoke_agent {role}" for role in ("researcher", "writer", "reviewer", "scribe")
    }
    assert {one["name"] for one in spans if one["span_kind"] == "LLM"} == {"chat offline", "chat test"}
    assert {one["name"] for one in spans if one["span_kind"] == "TOOL"} == {"execute_tool stamp"}
    calls = [one["attributes"] for one in spans if one["name"] == "chat test"]
    assert [(one["llm.token_count.prompt"], one["llm.token_count.completion"]) for one in calls] == [(100, 20)] * 2
    assert {one["status_code"] for one in spans} <= {"OK", "UNSET"}

    projects = [one["node"] for one in phoenix.query(TOKENS)["projects"]["edges"]]
    (ours,) = [one for one in projects if one["name"] == PROJECT]
    assert (ours["tokenCountPrompt"], ours["tokenCountCompletion"]) == (200, 40)
    (session,) = [one["node"] for one in ours["sessions"]["edges"]]
    assert (session["sessionId"], session["numTraces"]) == ("thread", 2)
    assert session["tokenUsage"] == {"prompt": 200, "completion": 40}
