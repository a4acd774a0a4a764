"""Whatever goes wrong with a model: neither the key nor a word of what was asked and answered is in a log, an error or a repr."""

import asyncio
import gc
import logging
import traceback
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from stretto.shared.contracts.findings import Quotes
from stretto.shared.models.errors import ModelError
from stretto.shared.models.protocol import CallsAsked, Document, OnText, Round, ToolCall, ToolOutcome, ToolSpec
from stretto.shared.models.provider_model import ProviderModel
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import Providers
from tests.integration.dialects import DIALECTS, KEY, Call, Chat, Dialect, sse
from tests.integration.provider_server import CUT, Answer, ProviderServer

CANARY = "xyzzy"
"""Stands in everything that is asked and answered."""

MACHINERY = tuple(f"stretto.shared.models.{one}" for one in ("provider", "openai", "anthropic", "exchange", "fault"))
"""What lives as long as a call or longer. Documents and replies are the data themselves."""

_log = logging.getLogger(__name__)


@pytest.fixture(params=DIALECTS, ids=lambda one: one.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    chosen: Dialect = request.param
    return chosen


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    async with ProviderServer() as server:
        yield server


def _error(status: int) -> Callable[[Dialect], Answer]:
    echo = f"{CANARY} {KEY}"
    body = {"error": {"type": f"{CANARY} {KEY}", "code": KEY, "param": echo, "message": echo}}
    return lambda _: Answer(body, status=status, headers={"x-request-id": "req_1", "retry-after": CANARY})


TROUBLE: dict[str, Callable[[Dialect], Answer]] = {
    **{str(status): _error(status) for status in (400, 401, 403, 404, 413, 422, 429, 500, 503, 529)},
    "bad reply": lambda dialect: dialect.says(f'{{"quotes": "{CANARY}", "{CANARY}": 1}}'),
    "prose": lambda dialect: dialect.says(f"{CANARY} {KEY}"),
    "garbled body": lambda _: Answer(f"{CANARY} {KEY}"),
    "streamed error": lambda dialect: dialect.streams_parts(
        *dialect.events([CANARY])[:-1],
        sse({"type": "error", "code": KEY, "message": CANARY, "error": {"type": KEY, "message": CANARY}}, "error"),
    ),
    "garbled stream": lambda dialect: dialect.streams_parts(
        *dialect.events([CANARY])[:-1], f"event: message_start\ndata: {{{CANARY}{KEY}\n\n".encode()
    ),
    "cut": lambda dialect: dialect.streams_parts(*dialect.events([CANARY])[:-1], CUT),
    "stall": lambda dialect: dialect.streams_parts(*dialect.events([CANARY])[:-1], asyncio.Event()),
    "refusal": lambda dialect: dialect.says(
        CANARY, {"anthropic": "refusal", "chat": "content_filter", "responses": "refusal"}[dialect.name]
    ),
}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_no_error_tells_a_secret(
    dialect: Dialect, server: ProviderServer, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script(*[TROUBLE[trouble](dialect)] * 4)
    streamed = trouble in ("streamed error", "garbled stream", "cut", "stall")

    async def watch(_: str) -> None:
        return None

    async with _Opened(dialect, server) as model:
        with pytest.raises(ModelError) as caught:
            await model.generate(
                Quotes,
                instructions=f"Pick. {CANARY}",
                question=CANARY,
                documents=[Document(id="p-1", text=CANARY, source=CANARY)],
                on_text=watch if streamed else None,
            )
        _log.error("it failed: %r", model, exc_info=caught.value)

    told = [caplog.text, *_everything(caught.value)]
    assert "it failed" in caplog.text  # the log is looked at indeed
    for text in told:
        assert CANARY not in text
        assert KEY not in text


async def test_a_call_that_goes_well_leaves_nothing_in_the_log(
    dialect: Dialect, server: ProviderServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script(dialect.says(f'{{"quotes": [{{"document": "p-1", "quote": "{CANARY}"}}]}}'))
    async with _Opened(dialect, server) as model:
        await model.generate(Quotes, instructions=CANARY, question=CANARY)
    assert "HTTP Request: POST" in caplog.text  # the clients' own line: that a request was sent
    assert CANARY not in caplog.text
    assert KEY not in caplog.text


async def test_what_is_in_hand_shows_no_secret(server: ProviderServer) -> None:
    settings = {"local": ProviderSettings(base_url=server.url, key_variable="LOCAL_KEY")}
    async with Providers(settings, environment={"LOCAL_KEY": KEY}) as providers:
        model = providers.model("local:test")
        server.script(DIALECTS[1].says(Quotes().model_dump_json()))
        await model.generate(Quotes, instructions=CANARY, question=CANARY)
        ours = [one for one in gc.get_objects() if str(type(one).__module__).startswith(MACHINERY)]
        assert any(isinstance(one, ProviderModel) for one in ours)
        for one in (*ours, settings):
            assert KEY not in repr(one)
            assert CANARY not in repr(one)


TOOL_TROUBLE: dict[str, Callable[[Dialect], Answer]] = {
    "prose": lambda dialect: dialect.says(f"{CANARY} {KEY}"),
    "call in words": lambda dialect: dialect.says(f'<tool_call>{{"name": "{CANARY}", "quotes": "{KEY}"}}'),
    "refused": lambda dialect: dialect.error(400, "invalid_request_error", f"tools: {CANARY} {KEY}"),
    "cut in a call": lambda dialect: dialect.streams_parts(
        *dialect.asking_events([Call("call_1", CANARY, f'{{"a": "{CANARY}')])[:-1], CUT
    ),
    "garbled call": lambda dialect: dialect.streams_parts(
        *dialect.asking_events([Call("call_1", "search", "{}")])[:-1],
        f"data: {{{CANARY}{KEY}\n\n".encode(),
    ),
}


@pytest.mark.parametrize("trouble", TOOL_TROUBLE)
async def test_no_error_tells_what_tools_were_given_or_gave(
    dialect: Dialect, server: ProviderServer, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script(*[TOOL_TROUBLE[trouble](dialect)] * 4)

    async def watch(_: str) -> None:
        return None

    async with _Opened(dialect, server) as model:
        with pytest.raises(ModelError) as caught:
            await _take_turn(model, on_text=watch if trouble in ("cut in a call", "garbled call") else None)
        _log.error("it failed: %r", model, exc_info=caught.value)
    for text in (caplog.text, *_everything(caught.value)):
        assert CANARY not in text
        assert KEY not in text


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_calls_and_their_outcomes_leave_nothing_in_the_log(
    dialect: Dialect, server: ProviderServer, caplog: pytest.LogCaptureFixture, streamed: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    call = Call("call_1", "search", f'{{"query": "{CANARY}"}}')
    server.script(dialect.streams_calls(call) if streamed else dialect.asks(call))

    async def watch(_: str) -> None:
        return None

    async with _Opened(dialect, server) as model:
        turn = await _take_turn(model, on_text=watch if streamed else None)
        assert isinstance(turn, CallsAsked)
        assert turn.calls[0].arguments == {"query": CANARY}
        ours = [one for one in gc.get_objects() if str(type(one).__module__).startswith(MACHINERY)]
        told = [caplog.text, *map(repr, ours)]
    for text in told:
        assert CANARY not in text
        assert KEY not in text


async def _take_turn(model: ProviderModel, on_text: OnText | None) -> object:
    call = ToolCall(id="call_0", name="search", arguments={"query": CANARY})
    return await model.take_turn(
        Quotes,
        instructions=CANARY,
        question=CANARY,
        tools=[ToolSpec("search", CANARY, {"type": "object", "description": CANARY})],
        rounds=[Round(CANARY, (call,), (ToolOutcome(call="call_0", text=f"{CANARY} {KEY}", failed=True),))],
        on_text=on_text,
    )


class _Opened:
    """A model of this dialect, opened as the process opens it, with the logs at their most talkative."""

    def __init__(self, dialect: Dialect, server: ProviderServer) -> None:
        self._dialect = dialect
        self._server = server
        settings = ProviderSettings(base_url=server.url, key_variable="LOCAL_KEY", time_limit_s=5, stall_limit_s=0.3)
        self._providers = Providers({"local": settings}, environment={"LOCAL_KEY": KEY})
        self._http = httpx2.AsyncClient()

    async def __aenter__(self) -> ProviderModel:
        model = self._providers.model("local:test")
        if isinstance(self._dialect, Chat):
            return model
        endpoint = self._dialect.endpoint(self._server.url, self._http, stall_limit_s=0.3)
        return ProviderModel(name="local:test", endpoint=endpoint, time_limit_s=5.0, repairs=2)

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        await self._providers.close()


def _everything(error: BaseException | None) -> list[str]:
    """All that an error and those that hang on it could tell."""
    told: list[str] = []
    while error is not None:
        told += [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return told
