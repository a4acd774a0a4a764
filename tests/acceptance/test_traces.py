"""What real processes tell of their runs: spans exported by OTLP, the same on the bus, and logs."""

import contextlib
import re
import signal
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest

from stretto.bus import conventions as c
from stretto.bus.tracing import root_of, trace_of
from tests.acceptance import traced_team
from tests.acceptance.command import Running
from tests.acceptance.traced import SERVICES, Traced, open_provider
from tests.acceptance.traced_team import BROKEN, LINGER, TROUBLE
from tests.integration.dialects import KEY
from tests.integration.otlp_receiver import OtlpReceiver
from tests.integration.span_kinds import KINDS, faults_of, kind_of
from tests.integration.spans import Span

TENANT: Final = "default"
HEADER: Final = "canary-header"
QUESTION: Final = "When is a refund paid? canary-question"
ROLES: Final = ("memory", "supervisor", "planner", "researcher", "writer", "reviewer", "scribe", "signer", "stumbler")


@dataclass
class Story:
    """What happened, and all that was told of it.

    Attributes:
        runs: ids by what the run was about.
        spans: as they were exported, and `on_bus` as they lie there.
        logs: the lines of all services, and `said` what commands wrote on stderr.
    """

    runs: dict[str, str] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    on_bus: list[Span] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def of(self, about: str) -> list[Span]:
        """The spans of one run, by when they began."""
        trace = trace_of(TENANT, self.runs[about])
        return sorted((one for one in self.spans if one.trace == trace), key=lambda one: one.began_ns)


@pytest.fixture(scope="module")
def story(nats_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Seven runs: one that goes well over six processes, and six with a trouble each."""
    story = Story()
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(OtlpReceiver())
        world = Traced(
            tmp_path_factory.mktemp("user"),
            nats_url=nats_url,
            prefix=f"test-{uuid.uuid4().hex[:12]}",
            provider=stack.enter_context(open_provider()),
            exporting={
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={HEADER}",
            },
            stack=stack,
        )
        for service in SERVICES:
            world.start(service)
        world.start(
            "agent run writer", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc"
        )
        scribe = world.start("agent run traced_team:Scribe")
        world.start("agent run traced_team:Signer")
        world.start("agent run traced_team:Stumbler")
        world.wait_for_roles(*ROLES)
        runs = story.runs
        runs["answered"] = world.ask(QUESTION, "--docs", "handbook", "--conversation", "thread")
        runs["planned"] = world.ask(QUESTION, "--playbook", "planner")
        runs["fallen back"] = world.ask(f"write {BROKEN}", "--playbook", "scribe")
        runs["retried"] = world.ask("write", "--playbook", "stumbler")
        runs["approved"] = approved(world)
        runs["killed"], scribe = interrupted(world, receiver, scribe, signal.SIGKILL)
        runs["handed over"], _ = interrupted(world, receiver, scribe, signal.SIGTERM)
        roots = {trace_of(TENANT, run) for run in runs.values()}
        receiver.wait_for(lambda spans: roots <= {one.trace for one in spans if not one.parent})
        story.logs, story.said = world.stop()
        story.spans, story.on_bus = receiver.spans, world.spans_on_the_bus()
        assert any(HEADER in headers.get("authorization", "") for headers in receiver.headers), "it was sent"
        yield story


def approved(world: Traced) -> str:
    """A run that waits for a person, who approves."""
    asked = world.run("ask", "sign", "--playbook", "signer", "--json")
    assert asked.code == 4, asked.err
    (question,) = asked.data["questions"]
    assert world.run("inbox", "approve", question["id"], "--wait").code == 0
    return str(asked.data["run"])


def interrupted(world: Traced, receiver: OtlpReceiver, scribe: Running, number: signal.Signals) -> tuple[str, Running]:
    """A run whose agent is sent a signal between two steps, when what it did until then has been exported, and the agent that goes on."""
    run = f"run-{number.name.lower()}"
    asking = world.begin("ask", LINGER, "--playbook", "scribe", "--run-id", run, "--json")
    world.lingering()
    receiver.wait_for(
        lambda spans: any(one.trace == trace_of(TENANT, run) and one.name == "search_memory" for one in spans)
    )
    scribe.process.send_signal(number)
    scribe.process.wait(timeout=30)
    after = world.start("agent run traced_team:Scribe")
    world.lingering()
    world.let_go()
    asked = asking.end()
    assert asked.code == 0, asked.err
    return run, after


def test_every_span_is_of_a_kind_and_says_what_that_kind_says(story: Story) -> None:
    by_id = {(one.trace, one.id): one for one in story.spans}
    runs = {trace_of(TENANT, run) for run in story.runs.values()}
    found = [
        fault
        for span in story.spans
        for fault in faults_of(span, parent=by_id.get((span.trace, span.parent)), in_run=span.trace in runs)
    ]
    assert not found, "\n".join(sorted(set(found)))
    told = {kind.title for kind in map(kind_of, story.spans) if kind}
    assert {kind.title for kind in KINDS} - told == set()
    sent, handled = (
        {one.name.rpartition(".")[2] for one in story.spans if re.match(rf"{verb} \S+\.run\.", one.name)}
        for verb in ("send", "process")
    )
    assert sent == {"request", "decision", "result", "question", "command", "schedule", "answer"}
    assert handled == {"request", "result", "question", "command", "timer"}


@pytest.mark.parametrize("about", ["answered", "planned", "fallen back", "retried", "approved", "handed over"])
def test_a_run_is_one_connected_tree(story: Story, about: str) -> None:
    spans, root = story.of(about), root_of(TENANT, story.runs[about])
    assert [(one.trace, one.id) for one in spans if not one.parent] == [
        (f"{root.trace_id:032x}", f"{root.span_id:016x}")
    ]
    ids = {one.id for one in spans}
    assert len(ids) == len(spans), "each is told once"
    assert [str(one) for one in spans if one.parent and one.parent not in ids] == []
    (told,) = [one for one in spans if not one.parent]
    assert told.attributes[c.RUN_STATE] == "completed"
    assert not told.failed
    (asked,) = named(spans, r"send \S+\.run\.\{run\}\.request")
    assert abs(told.began_ns - asked.began_ns) < 1e9, "it begins when the run began, by the server's clock"
    assert told.ended_ns > told.began_ns


def test_a_run_leads_through_all_processes_that_worked_on_it(story: Story) -> None:
    spans = story.of("answered")
    services = ("requester", "supervisor", "researcher", "writer", "reviewer", "memory")
    assert {one.service for one in spans} == {f"stretto-{name}" for name in services}
    assert len({one.resource["service.instance.id"] for one in spans}) == len(services)
    assert {one.attributes.get(c.GEN_AI_CONVERSATION_ID, "thread") for one in spans} == {"thread"}
    assert "thread" in {one.attributes.get(c.SESSION_ID) for one in spans if not one.parent}
    agents = [one.attributes[c.TASK] for one in spans if one.name.startswith("invoke_agent")]
    assert sorted(map(str, agents)) == ["context", "direct", "draft", "review"]


def test_the_bus_has_the_same_spans(story: Story) -> None:
    killed = trace_of(
        TENANT, story.runs["killed"]
    )  # what is handed over there is handed over here a moment before, or after
    exported, on_bus = ({one.id: one for one in spans if one.trace != killed} for spans in (story.spans, story.on_bus))
    assert exported.keys() ^ on_bus.keys() == set()
    assert exported == on_bus


def test_a_failed_attempt_is_told_and_the_run_did_not_fail(story: Story) -> None:
    spans = story.of("retried")
    first, second = named(spans, "invoke_agent stumbler")
    assert (first.attributes[c.ATTEMPT], first.failed) == (1, True)
    assert first.attributes[c.ERROR_TYPE] == "TaskRetryable"
    assert (second.attributes[c.ATTEMPT], second.failed) == (2, False)
    of_first = {first.id, first.parent}
    assert [str(one) for one in spans if one.failed and one.id not in of_first] == []
    assert len(named(spans, "chat test")) == 2


def test_a_wait_for_a_person_is_told_and_no_span_is_held_open_for_it(story: Story) -> None:
    spans = story.of("approved")
    first, second = named(spans, "invoke_agent signer")
    (waited,) = named(spans, "wait_for_human approval")
    assert first.attributes[c.ENDED] == "parked"
    assert [(link.span, link.attributes[c.LINK]) for link in second.links] == [(first.id, "resume")]
    assert first.parent != second.parent
    assert first.began_ns <= waited.began_ns <= waited.ended_ns <= second.ended_ns
    assert waited.attributes[c.OUTCOME] == "approved"
    assert replayed(second) == [2], "what was thought, and what was asked"
    assert len(named(spans, "chat test")) == 2
    assert [str(one) for one in spans if one.failed] == []


def test_of_a_killed_agent_only_what_it_had_not_told_is_missing(story: Story) -> None:
    spans = story.of("killed")
    (delivered,) = named(spans, r"process \S+\.task\.\{role\}")
    assert delivered.attributes[c.MESSAGING_DELIVERY] == 2, "the first one never ended"
    (agent,) = named(spans, "invoke_agent scribe")
    assert agent.parent == delivered.id
    assert replayed(agent) == [3], "a thought, a stamp and a memory"
    ids = {one.id for one in spans}
    orphans = [one for one in spans if one.parent and one.parent not in ids]
    successor = agent.resource["service.instance.id"]
    assert {one.resource["service.instance.id"] for one in orphans} & {successor} == set()
    assert len({one.parent for one in orphans if one.service == "stretto-scribe"}) == 1, "the work that was cut off"
    assert len(named(spans, "chat test")) == 2, "none for a step that was answered from the journal"
    assert len(named(spans, "execute_tool stamp")) == 1
    assert len(named(spans, "upsert_memory")) == 1
    assert [str(one) for one in spans if one.failed] == []


def test_two_deliveries_of_one_task_stand_beside_each_other(story: Story) -> None:
    spans = story.of("handed over")
    first, second = named(spans, r"process \S+\.task\.\{role\}")
    assert first.parent == second.parent
    assert [one.attributes[c.MESSAGING_DELIVERY] for one in (first, second)] == [1, 2]
    before, after = named(spans, "invoke_agent scribe")
    assert (before.parent, after.parent) == (first.id, second.id)
    assert before.attributes[c.ENDED] == "shut_down"
    assert replayed(after) == [3]
    assert len(named(spans, "chat test")) == 2
    assert [str(one) for one in spans if one.failed] == []


def test_a_model_that_is_passed_over_is_told(story: Story) -> None:
    spans = story.of("fallen back")
    (agent,) = named(spans, "invoke_agent scribe")
    failed = [one for one in spans if one.failed]
    assert {one.name for one in failed} == {"chat test"}
    assert {one.attributes[c.ERROR_TYPE] for one in failed} == {"CannotDo"}
    assert {one.name for one in agent.events} == {c.FALLBACK}
    answered = named(spans, "chat other")
    assert len(answered) == 2
    for one in answered:
        assert one.parent == agent.id
        assert (one.attributes[c.GEN_AI_INPUT_TOKENS], one.attributes[c.GEN_AI_OUTPUT_TOKENS]) == (100, 20)
        assert one.attributes[c.GEN_AI_CACHE_READ_TOKENS] == 60
        assert one.attributes[c.SERVER_ADDRESS] == "127.0.0.1"


def test_no_span_and_no_log_holds_content(story: Story) -> None:
    secrets = {*traced_team.SECRETS, KEY, HEADER, QUESTION, "fourteen days"}
    told = [repr(one) for one in (*story.spans, *story.on_bus)]
    assert [one for one in told if any(secret in one for secret in secrets)] == []
    assert any("DEBUG" in log for log in story.logs), "all is logged that can be"
    # What an agent says of its failure on purpose is for those who watch the run.
    lines = [line for log in story.logs for line in log.splitlines()]
    assert [line for line in lines if any(secret in line for secret in secrets - {TROUBLE})] == []
    assert [one for one in story.said if any(secret in one for secret in (KEY, HEADER))] == []


def named(spans: Sequence[Span], pattern: str) -> list[Span]:
    return [one for one in spans if re.fullmatch(pattern, one.name)]


def replayed(agent: Span) -> list[object]:
    """How many steps were answered from the journal, each time that it is said."""
    return [one.attributes[c.REPLAYED_STEPS] for one in agent.events if one.name == c.REPLAYED_STEPS]
