"""Each request to a model waits for its turn, is reserved, priced and settled, whatever becomes of it."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from stretto.shared.contracts.findings import Quotes
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import BadReply, ModelUnavailable, RateLimited, TimedOut
from stretto.shared.models.exchange import Ask, Shape
from stretto.shared.models.meter import Meter, most_tokens
from stretto.shared.models.protocol import Document, Round, ToolCall, ToolOutcome, ToolSpec
from stretto.shared.models.provider_model import ProviderModel
from stretto.shared.money.errors import BudgetSpent
from stretto.shared.money.price import Price
from tests.integration.dialects import DIALECTS, Dialect
from tests.integration.provider_server import CUT, ProviderServer

JSON = Quotes().model_dump_json()
PRICE = Price(input=1.0, output=10.0, cached_input=0.5)
PAID = Usage(
    model_calls=1,
    input_tokens=100,
    cached_input_tokens=60,
    output_tokens=20,
    reasoning_tokens=5,
    cost_usd=(40 * 1.0 + 60 * 0.5 + 20 * 10.0) / 1e6,
)


class OnePrice:
    def price_of(self, model: str) -> Price | None:
        return PRICE if model == "local:test" else None


class Grant:
    def __init__(self, purse: "Purse", output_tokens: int) -> None:
        self._purse = purse
        self.output_tokens = output_tokens

    async def settle(self, usage: Usage) -> None:
        self._purse.settling.set()
        await self._purse.may_settle.wait()
        self._purse.log.append(("settle", usage))
        self._purse.settled.set()


class Purse:
    """Grants so many requests, and writes down what it is asked."""

    def __init__(self, requests: int = 9, *, output_tokens: int = 700) -> None:
        self.log: list[tuple[str, object]] = []
        self.asked: list[tuple[str, int, int]] = []
        self.settling, self.settled, self.may_settle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_settle.set()
        self._left = requests
        self._output_tokens = output_tokens

    async def for_model(self, model: str, *, input_tokens: int, output_tokens: int) -> Grant:
        if not self._left:
            raise BudgetSpent("the run's budget is used up")
        self._left -= 1
        self.asked.append((model, input_tokens, output_tokens))
        self.log.append(("reserve", model))
        return Grant(self, self._output_tokens)

    async def for_tool(self, name: str) -> Grant:
        raise NotImplementedError


class Rates:
    def __init__(self, purse: Purse, *, requests: int = 9) -> None:
        self._log = purse.log
        self._left = requests
        self.tokens: list[int] = []

    async def acquire(self, provider: str, *, tokens: int, limit_s: float) -> None:
        assert 0 < limit_s <= 5
        if not self._left:
            raise RateLimited("no room", retry_after_s=3.0)
        self._left -= 1
        self.tokens.append(tokens)
        self._log.append(("wait", provider))


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
    async with httpx2.AsyncClient() as http:
        yield http


def model_of(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient, rates: Rates | None = None, limit_s: float = 5
) -> ProviderModel:
    return ProviderModel(
        name="local:test",
        endpoint=dialect.endpoint(server.url, http, stall_limit_s=limit_s),
        time_limit_s=limit_s,
        repairs=2,
        meter=Meter(name="local:test", prices=OnePrice(), rates=rates),
    )


def sent_limit(body: dict[str, object]) -> object:
    return body.get("max_tokens") or body.get("max_output_tokens")


async def test_each_request_waits_is_reserved_and_settled_repairs_included(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient
) -> None:
    purse = Purse()
    rates = Rates(purse)
    server.script(dialect.says("no"), dialect.says(JSON))
    reply = await model_of(dialect, server, http, rates).generate(
        Quotes, instructions="Pick.", question="How long?", purse=purse
    )
    once = [("wait", "local"), ("reserve", "local:test"), ("settle", PAID)]
    assert purse.log == once + once
    assert reply.usage == PAID + PAID
    (first, second) = purse.asked
    assert first[2] == second[2] >= 4_096
    assert second[1] > first[1] > 100  # the second one repeats the first reply, and what is wrong with it
    assert all(tokens > 0 for tokens in rates.tokens)
    assert [sent_limit(one.body) for one in server.requests] == [700, 700]


async def test_without_a_purse_the_request_is_as_the_settings_say_and_the_cost_is_told(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient
) -> None:
    server.script(dialect.says(JSON))
    reply = await model_of(dialect, server, http).generate(Quotes, instructions="Pick.", question="How long?")
    assert reply.usage == PAID
    assert sent_limit(server.requests[0].body) == (None if dialect.name == "chat" else 16_384)


async def test_a_repair_that_cannot_be_paid_for_ends_the_call_and_says_what_it_took(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient
) -> None:
    server.script(dialect.says("no"))
    with pytest.raises(BudgetSpent) as caught:
        await model_of(dialect, server, http).generate(Quotes, instructions="Pick.", question="?", purse=Purse(1))
    assert caught.value.usage == PAID
    assert len(server.requests) == 1


async def test_nothing_is_reserved_and_nothing_sent_while_there_is_no_turn(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient
) -> None:
    purse = Purse()
    model = model_of(dialect, server, http, Rates(purse, requests=0))
    with pytest.raises(RateLimited) as caught:
        await model.generate(Quotes, instructions="Pick.", question="?", purse=purse)
    assert caught.value.retry_after_s == 3.0
    assert (purse.log, server.requests) == ([], [])


async def test_a_reply_that_does_not_fit_is_paid_for_all_the_same(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient
) -> None:
    purse = Purse()
    server.script(*[dialect.says("no")] * 3)
    with pytest.raises(BadReply) as caught:
        await model_of(dialect, server, http).generate(Quotes, instructions="Pick.", question="?", purse=purse)
    assert [one for one in purse.log if one[0] == "settle"] == [("settle", PAID)] * 3
    assert caught.value.usage == PAID + PAID + PAID


async def test_an_error_gives_all_back(dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient) -> None:
    purse = Purse()
    server.script(dialect.error(500, "api_error"))
    with pytest.raises(ModelUnavailable):
        await model_of(dialect, server, http).generate(Quotes, instructions="Pick.", question="?", purse=purse)
    assert purse.log == [("reserve", "local:test"), ("settle", Usage())]


@pytest.mark.parametrize("trouble", ["cut", "stall", "cancelled"])
async def test_a_reply_that_had_begun_is_settled_with_what_is_known(
    dialect: Dialect, server: ProviderServer, http: httpx2.AsyncClient, trouble: str
) -> None:
    purse = Purse()
    began = asyncio.Event()

    async def watch(_: str) -> None:
        began.set()

    parts = dialect.events(["{"])[:-1]
    server.script(dialect.streams_parts(*parts, CUT if trouble == "cut" else asyncio.Event()))
    model = model_of(dialect, server, http, limit_s=5 if trouble != "stall" else 0.3)
    asked = asyncio.ensure_future(
        model.generate(Quotes, instructions="Pick.", question="?", on_text=watch, purse=purse)
    )
    async with asyncio.timeout(5):
        await began.wait()
        if trouble == "cancelled":
            asked.cancel()
        (error,) = await asyncio.gather(asked, return_exceptions=True)
    kind = {"cut": ModelUnavailable, "stall": TimedOut, "cancelled": asyncio.CancelledError}[trouble]
    assert isinstance(error, kind)
    ((_, usage),) = [one for one in purse.log if one[0] == "settle"]
    assert isinstance(usage, Usage)
    assert usage.model_calls == 1
    if dialect.name == "anthropic":  # it tells its input tokens first
        assert usage.input_tokens == 100
        assert usage.cost_usd > 0


async def test_a_settlement_is_finished_though_the_caller_is_cancelled_again(
    server: ProviderServer, http: httpx2.AsyncClient
) -> None:
    purse = Purse()
    purse.may_settle.clear()
    server.script(DIALECTS[1].says(JSON))
    model = model_of(DIALECTS[1], server, http)
    asked = asyncio.ensure_future(model.generate(Quotes, instructions="Pick.", question="?", purse=purse))
    async with asyncio.timeout(5):
        await purse.settling.wait()
        asked.cancel()
        await asyncio.wait({asked})
        assert asked.cancelled()
        assert not purse.settled.is_set()
        purse.may_settle.set()
        await purse.settled.wait()
    assert purse.log[-1] == ("settle", PAID)


async def test_a_slow_settlement_does_not_cost_the_reply(server: ProviderServer, http: httpx2.AsyncClient) -> None:
    purse = Purse()
    purse.may_settle.clear()
    server.script(DIALECTS[1].says(JSON))
    model = model_of(DIALECTS[1], server, http, limit_s=0.3)
    asyncio.get_running_loop().call_later(0.4, purse.may_settle.set)  # later than the call's own limit
    reply = await model.generate(Quotes, instructions="Pick.", question="?", purse=purse)
    assert reply.usage == PAID


def test_the_bound_of_what_is_read_covers_all_that_is_sent() -> None:
    shape = Shape("text", "Quotes", {})
    bare = Ask(instructions="", question="", documents=(), shape=shape)
    base = most_tokens(bare)
    text = "wörd " * 100
    call = ToolCall(id="c", name="search", arguments={"query": text})
    fuller = [
        Ask(instructions=text, question="", documents=(), shape=shape),
        Ask(instructions="", question=text, documents=(), shape=shape),
        Ask(instructions="", question="", documents=[Document(id="d", text=text)], shape=shape),
        Ask(instructions="", question="", documents=(), shape=shape, begun=text),
        Ask(instructions="", question="", documents=(), shape=shape, tools=[ToolSpec("search", text, {})]),
        Ask(instructions="", question="", documents=(), shape=shape, rounds=[Round("", (call,), ())]),
        Ask(
            instructions="",
            question="",
            documents=(),
            shape=shape,
            rounds=[Round("", (), (ToolOutcome(call="c", text=text),))],
        ),
    ]
    for ask in fuller:
        assert (
            most_tokens(ask) >= base + 400
        )  # 400 ASCII characters are at most 200 tokens, and 100 umlauts at most 200
