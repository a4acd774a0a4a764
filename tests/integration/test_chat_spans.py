"""Spans and metrics of requests to models, in all three protocols: one span a request, whatever becomes of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from stretto.bus import tracing
from stretto.bus.work import Work, working_on
from stretto.shared.contracts.findings import Quotes
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.errors import ModelError, RateLimited, Refused, TimedOut, Truncated
from stretto.shared.models.exchange import Ask, Said, Shape
from stretto.shared.models.protocol import CallsAsked, ToolSpec
from stretto.shared.models.provider_model import ProviderModel
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import Providers
from stretto.shared.telemetry.chat import Chat
from tests.integration.dialects import DIALECTS, Call, Dialect
from tests.integration.dialects import Chat as Completions
from tests.integration.provider_server import Answer, ProviderServer
from tests.measures import Point, measuring
from tests.spans import Recorded, attributes_of, recording

QUOTES = Quotes(quotes=()).model_dump_json()
WORK = Work(tenant="acme", run="r1", role="researcher", task="find", attempt=2, conversation="c1")
LOOK_UP = ToolSpec("look_up", "Look something up.", {"type": "object", "properties": {}})
LENGTH = {"anthropic": "max_tokens", "chat": "length", "responses": "max_output_tokens"}
REFUSAL = {"anthropic": "refusal", "chat": "content_filter", "responses": "refusal"}


@pytest.fixture(params=DIALECTS, ids=lambda one: one.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    chosen: Dialect = request.param
    return chosen


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    async with ProviderServer() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient() as client:
        yield client


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording() as recorded:
        yield recorded


def model_of(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient, *, time_limit_s: float = 5.0
) -> ProviderModel:
    endpoint = dialect.endpoint(server.url, http)
    url = f"{server.url}/v1"
    return ProviderModel(name="local:test", endpoint=endpoint, time_limit_s=time_limit_s, repairs=1, base_url=url)


async def ask(model: ProviderModel) -> None:
    await model.generate(Quotes, instructions="Pick.", question="How long?")


async def watch(_: str) -> None:
    """Have it streamed."""


async def test_a_request_is_a_span_with_what_the_conventions_want(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient, recorded: Recorded
) -> None:
    server.script(dialect.says(QUOTES))
    with working_on(WORK):
        await ask(model_of(dialect, server, http))
    span = recorded.one("chat test")
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    found = dict(attributes_of(span))
    assert found.pop("gen_ai.request.max_tokens", 16_384) == 16_384, "where the protocol has a limit"
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "local",
        "gen_ai.request.model": "test",
        "gen_ai.output.type": "json",
        "gen_ai.response.model": "test",
        "gen_ai.response.id": dialect.whole(QUOTES)["id"],
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "gen_ai.conversation.id": "c1",
        "session.id": "c1",
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
        "stretto.run": "r1",
        "stretto.task": "find",
        "stretto.attempt": 2,
    }


async def test_a_streamed_request_says_so_and_knows_as_much(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient, recorded: Recorded
) -> None:
    server.script(dialect.streams(QUOTES))
    model = model_of(dialect, server, http)
    await model.generate(Quotes, instructions="Pick.", question="How long?", on_text=watch)
    found = attributes_of(recorded.one("chat test"))
    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.usage.input_tokens"] == 100
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert found["gen_ai.response.model"] == "test"
    assert found["gen_ai.response.id"] == dialect.whole("")["id"]


async def test_a_repair_is_a_span_of_its_own_and_neither_has_failed(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient, recorded: Recorded
) -> None:
    server.script(dialect.says("no quotes"), dialect.says(QUOTES))
    await ask(model_of(dialect, server, http))
    assert [one.status.status_code for one in recorded.named("chat test")] == [StatusCode.UNSET] * 2


@pytest.mark.parametrize("kind", [RateLimited, Truncated, Refused, TimedOut], ids=lambda kind: kind.__name__)
async def test_what_goes_wrong_is_told_by_its_kind_alone(
    kind: type[ModelError], dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient, recorded: Recorded
) -> None:
    answers: dict[type[ModelError], Answer] = {
        RateLimited: dialect.error(429, "rate_limit_error", "canary"),
        Truncated: dialect.says(QUOTES, LENGTH[dialect.name]),
        Refused: dialect.says("no", REFUSAL[dialect.name]),
        TimedOut: dialect.streams_parts(asyncio.Event()),
    }
    server.script(answers[kind])
    with measuring() as measured, pytest.raises(kind):
        await ask(model_of(dialect, server, http, time_limit_s=0.3 if kind is TimedOut else 5.0))
    span = recorded.one("chat test")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.events == ()
    assert attributes_of(span)["error.type"] == kind.__name__
    reasons = {Truncated: "length", Refused: "content_filter"}
    assert attributes_of(span)["gen_ai.response.finish_reasons"] == (reasons.get(kind, "error"),)
    (duration,) = measured.points["gen_ai.client.operation.duration"]
    assert duration.labels["error.type"] == kind.__name__


async def test_asking_for_tools_is_a_reason_to_stop(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient, recorded: Recorded
) -> None:
    server.script(dialect.asks(Call("call_1", "look_up", "{}")))
    model = model_of(dialect, server, http)
    turn = await model.take_turn(Quotes, instructions="Pick.", question="How long?", tools=[LOOK_UP])
    assert isinstance(turn, CallsAsked)
    assert attributes_of(recorded.one("chat test"))["gen_ai.response.finish_reasons"] == ("tool_call",)


async def test_a_server_that_names_neither_model_nor_reply_is_understood_all_the_same(
    server: ProviderServer, http: httpx2.AsyncClient, recorded: Recorded
) -> None:
    completions = next(one for one in DIALECTS if isinstance(one, Completions))
    bare = {name: one for name, one in completions.whole(QUOTES).items() if name not in ("id", "model")}
    odd = {**completions.whole(QUOTES), "id": ["canary"], "model": "canary of what was asked"}
    server.script(Answer(bare), Answer(odd))
    for _ in range(2):
        await ask(model_of(completions, server, http))
    for span in recorded.named("chat test"):
        assert not {"gen_ai.response.id", "gen_ai.response.model"} & attributes_of(span).keys()


async def test_tokens_and_seconds_are_measured_without_the_names_of_runs(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient
) -> None:
    server.script(dialect.says("no quotes"), dialect.says(QUOTES))
    with measuring() as measured, working_on(WORK):
        await ask(model_of(dialect, server, http))
    labels = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "local",
        "gen_ai.request.model": "test",
        "gen_ai.response.model": "test",
    }
    tokens = {one.labels["gen_ai.token.type"]: one for one in measured.points["gen_ai.client.token.usage"]}
    bounds = tuple(4.0**power for power in range(14))
    assert tokens == {
        kind: Point({**labels, "gen_ai.token.type": kind}, count=2, sum=total, bounds=bounds)
        for kind, total in (("input", 200), ("output", 40))
    }
    (seconds,) = measured.points["gen_ai.client.operation.duration"]
    assert seconds.labels == labels
    assert seconds.count == 2
    assert seconds.bounds[:3] == (0.01, 0.02, 0.04)
    assert seconds.bounds[-1] == 81.92


async def test_a_model_that_is_passed_over_is_told_by_whoever_asked(server: ProviderServer, recorded: Recorded) -> None:
    completions = next(one for one in DIALECTS if isinstance(one, Completions))
    server.script(completions.error(503, "overloaded_error", "canary"), completions.says(QUOTES))
    settings = {name: ProviderSettings(base_url=server.url) for name in ("first", "second")}
    async with Providers(settings, environment={}) as providers:
        chain = ModelChain(["first:a", "second:b"], open_model=providers.model, breakers=Breakers())
        with tracing.span("invoke_agent writer"):
            await chain.generate(Quotes, instructions="Pick.", question="How long?")
    agent = recorded.one("invoke_agent writer")
    assert [(one.name, dict(one.attributes or {})) for one in agent.events] == [
        ("fallback", {"stretto.fallback.model": "first:a", "stretto.fallback.reason": "Overloaded"})
    ]
    failed, good = recorded.one("chat a"), recorded.one("chat b")
    assert agent.context
    assert [one.parent and one.parent.span_id for one in (failed, good)] == [agent.context.span_id] * 2
    assert (failed.status.status_code, good.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)


async def test_a_call_that_is_given_up_has_not_failed_but_is_not_measured_as_a_success(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient, recorded: Recorded
) -> None:
    server.script(dialect.streams_parts(asyncio.Event()))
    with measuring() as measured:
        asking = asyncio.ensure_future(ask(model_of(dialect, server, http)))
        await server.arrived.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert recorded.one("chat test").status.status_code is StatusCode.UNSET
    (seconds,) = measured.points["gen_ai.client.operation.duration"]
    assert seconds.labels["error.type"] == "CancelledError"


def test_of_an_address_only_host_and_port_are_told(recorded: Recorded) -> None:
    asked = Ask("", "How long?", (), Shape("text", "Quotes", {}))
    with Chat(provider="local", model="m", base_url="https://example.org/secret/v1").request(asked, Said()):
        pass
    found = attributes_of(recorded.one("chat m"))
    assert (found["server.address"], found["server.port"]) == ("example.org", 443)
    assert not any("secret" in str(value) for value in found.values())
