"""Both SDKs' models against llmock, a server of other people's making, with each of its faults."""

from collections.abc import AsyncIterator, Iterator

import pytest

from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.findings import Quote, Quotes
from stretto.shared.models.errors import (
    BadReply,
    CannotDo,
    ContextOverflow,
    ModelError,
    ModelUnavailable,
    NotConfigured,
    Overloaded,
    RateLimited,
    TimedOut,
)
from stretto.shared.models.protocol import CallsAsked, Document, Reply, Round, ToolOutcome, ToolSpec
from stretto.shared.models.provider_model import ProviderModel
from stretto.shared.models.provider_settings import Api, ProviderSettings
from stretto.shared.models.providers import Providers

llmock_plugin = pytest.importorskip("llmock.pytest_plugin", reason="llmock is not installed: pip install llmock")
llmock_testing = pytest.importorskip("llmock.testing")

from llmock.pytest_plugin import LLMock  # noqa: E402 (after the check that it is there)
from llmock.scenarios import Reply as Scripted  # noqa: E402 (as above)
from llmock.scenarios import ToolCall as Wanted  # noqa: E402 (as above)
from llmock.scenarios import ToolFault  # noqa: E402 (as above)
from llmock.testing import LLMockServer  # noqa: E402 (as above)

QUOTES = Quotes(quotes=(Quote(document="p-1", quote="A refund is paid within thirty days."),))
JSON = QUOTES.model_dump_json()


@pytest.fixture(scope="module")
def mock_server() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        yield server


@pytest.fixture
def mock(mock_server: LLMockServer) -> LLMock:
    """A server as new, that answers with JSON that fits."""
    mock = LLMock(mock_server).reset()
    mock.add(Scripted(text=JSON, times=None))
    return mock


@pytest.fixture(params=["anthropic", "openai"])
async def model(request: pytest.FixtureRequest, mock: LLMock) -> AsyncIterator[ProviderModel]:
    api: Api = request.param
    settings = ProviderSettings(api=api, base_url=mock.base_url(api), time_limit_s=1.5, stall_limit_s=0.5)
    async with Providers({"mock": settings}, environment={}) as providers:
        yield providers.model("mock:test")


class Watcher:
    def __init__(self) -> None:
        self.text = ""

    async def __call__(self, piece: str) -> None:
        self.text += piece


async def ask(model: ProviderModel, watcher: Watcher | None = None) -> Quotes:
    documents = [Document(id="p-1", text="A refund is paid within thirty days. " * 20)]
    reply = await model.generate(
        Quotes, instructions="Pick quotes.", question="How long?", documents=documents, on_text=watcher
    )
    assert reply.usage.model_calls == 1
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens > 0
    return reply.output


async def test_it_answers(model: ProviderModel, mock: LLMock) -> None:
    assert await ask(model) == QUOTES
    assert len(mock.requests) == 1


async def test_it_answers_in_a_stream(model: ProviderModel, mock: LLMock) -> None:
    watcher = Watcher()
    assert await ask(model, watcher) == QUOTES
    assert watcher.text == JSON


async def test_it_fills_the_schema_that_it_is_sent(mock: LLMock) -> None:
    mock.reset()
    settings = ProviderSettings(base_url=mock.base_url("openai"))
    async with Providers({"mock": settings}, environment={}) as providers:
        reply = await providers.model("mock:test").generate(Draft, instructions="Write.", question="How long?")
    assert reply.output.claims[0].text == "mock-text"
    assert reply.usage.model_calls == 1


async def test_one_that_knows_no_schemas_is_given_up_after_its_repairs(mock: LLMock) -> None:
    mock.reset()  # its Anthropic side answers in prose, whatever it is asked
    settings = ProviderSettings(api="anthropic", base_url=mock.base_url("anthropic"))
    async with Providers({"mock": settings}, environment={}) as providers:
        with pytest.raises(BadReply, match="no JSON object") as caught:
            await providers.model("mock:test").generate(Draft, instructions="Write.", question="How long?")
    assert caught.value.usage.model_calls == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, CannotDo),
        (401, NotConfigured),
        (402, NotConfigured),
        (403, NotConfigured),
        (404, NotConfigured),
        (408, TimedOut),
        (409, ModelUnavailable),
        (413, ContextOverflow),
        (422, CannotDo),
        (429, RateLimited),
        (500, ModelUnavailable),
        (502, ModelUnavailable),
        (503, Overloaded),
        (504, TimedOut),
        (529, Overloaded),
    ],
)
async def test_an_http_error_is_what_it_says_and_is_not_tried_again(
    model: ProviderModel, mock: LLMock, status: int, kind: type[ModelError]
) -> None:
    mock.fail(status)
    with pytest.raises(ModelError) as caught:
        await ask(model)
    assert type(caught.value) is kind
    assert len(mock.requests) == 1
    assert await ask(model) == QUOTES  # and the next call finds all well


async def test_a_rate_limit_says_how_long_to_wait(model: ProviderModel, mock: LLMock) -> None:
    mock.rate_limit(retry_after=1.5)
    with pytest.raises(RateLimited) as caught:
        await ask(model)
    assert caught.value.retry_after_s == 1.5


async def test_a_quota_of_requests_is_a_rate_limit(model: ProviderModel, mock: LLMock) -> None:
    mock.limits(rpm=1)
    await ask(model)
    with pytest.raises(RateLimited) as caught:
        await ask(model)
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s <= 60


async def test_a_prompt_longer_than_the_context_is_an_overflow(model: ProviderModel, mock: LLMock) -> None:
    mock.limits(context_window=50)
    with pytest.raises(ContextOverflow):
        await ask(model)


async def test_an_answer_that_takes_too_long_is_given_up(model: ProviderModel, mock: LLMock) -> None:
    mock.delay(2.0)
    with pytest.raises(TimedOut):
        await ask(model)


@pytest.mark.parametrize("after_chunks", [0, 1, 3])
@pytest.mark.parametrize("fault", ["disconnect", "truncate", "corrupt"])
async def test_a_broken_stream_is_no_answer(model: ProviderModel, mock: LLMock, fault: str, after_chunks: int) -> None:
    getattr(mock, fault)(after_chunks=after_chunks)
    with pytest.raises(ModelUnavailable):
        await ask(model, Watcher())
    assert len(mock.requests) == 1
    assert await ask(model, Watcher()) == QUOTES


async def test_a_stream_that_stalls_is_left(model: ProviderModel, mock: LLMock) -> None:
    mock.stall(after_chunks=2, seconds=2.0)
    with pytest.raises(TimedOut):
        await ask(model, Watcher())


async def test_a_first_token_that_takes_too_long_is_not_waited_for(model: ProviderModel, mock: LLMock) -> None:
    mock.slow_first_token(2.0)
    with pytest.raises(TimedOut):
        await ask(model, Watcher())


SEARCH = ToolSpec(
    "search",
    "Search the memory.",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)


async def take_turn(
    model: ProviderModel, rounds: tuple[Round, ...] = (), watcher: Watcher | None = None
) -> Reply[Quotes] | CallsAsked:
    return await model.take_turn(
        Quotes, instructions="Pick.", question="How long?", tools=[SEARCH], rounds=rounds, on_text=watcher
    )


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_it_has_tools_called_and_replies_then(model: ProviderModel, mock: LLMock, streamed: bool) -> None:
    watcher = Watcher() if streamed else None
    mock.reset()
    mock.add(Scripted(tool_calls=(Wanted("search", {"query": "refund"}), Wanted("search", {"query": "days"}))))
    mock.add(Scripted(text=JSON))
    asked = await take_turn(model, watcher=watcher)
    assert isinstance(asked, CallsAsked)
    assert [one.arguments for one in asked.calls] == [{"query": "refund"}, {"query": "days"}]
    assert asked.usage.model_calls == 1
    outcomes = tuple(ToolOutcome(call=one.id, text="Thirty days.") for one in asked.calls)
    replied = await take_turn(model, (Round(asked.text, asked.calls, outcomes),), watcher)
    assert isinstance(replied, Reply)
    assert replied.output == QUOTES


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_arguments_that_are_garbled_are_told_as_such(
    model: ProviderModel, mock: LLMock, request: pytest.FixtureRequest, streamed: bool
) -> None:
    mock.reset()
    mock.add(ToolFault("malformed_arguments"))
    mock.add(Scripted(tool_calls=(Wanted("search", {"query": "refund"}),)))
    asked = await take_turn(model, watcher=Watcher() if streamed else None)
    assert isinstance(asked, CallsAsked)
    assert asked.calls[0].name == "search"
    # A whole reply of Anthropic's has them as JSON, which cannot be garbled by itself.
    garbled: dict[str, str] | None = {} if "anthropic" in request.node.name and not streamed else None
    assert asked.calls[0].arguments == garbled


async def test_a_tool_that_was_never_offered_is_handed_on_for_the_toolbox_to_refuse(
    model: ProviderModel, mock: LLMock
) -> None:
    mock.reset()
    mock.add(ToolFault("unknown_tool"))
    asked = await take_turn(model)
    assert isinstance(asked, CallsAsked)
    assert asked.calls[0].name != "search"


@pytest.mark.parametrize("fault", ["disconnect", "truncate", "corrupt"])
async def test_a_stream_that_breaks_inside_a_call_is_no_call(model: ProviderModel, mock: LLMock, fault: str) -> None:
    mock.reset()
    getattr(mock, fault)(after_chunks=2)
    mock.add(Scripted(tool_calls=(Wanted("search", {"query": "refund " * 20}),), times=None))
    with pytest.raises(ModelUnavailable):
        await take_turn(model, watcher=Watcher())
    assert isinstance(await take_turn(model, watcher=Watcher()), CallsAsked)


@pytest.mark.parametrize("status", [429, 500, 529])
async def test_an_http_error_is_the_same_with_tools(model: ProviderModel, mock: LLMock, status: int) -> None:
    mock.fail(status)
    with pytest.raises(ModelUnavailable):
        await take_turn(model)
    assert len(mock.requests) == 1
