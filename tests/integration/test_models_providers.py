"""Providers: whom they call, with which key, over one HTTP client that is closed at the end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from stretto.shared.contracts.findings import Quotes
from stretto.shared.models.errors import KeyMissing, ModelUnavailable, NotConfigured
from stretto.shared.models.provider_settings import Api, ProviderSettings
from stretto.shared.models.providers import Providers
from tests.integration.dialects import DIALECTS, KEY, Dialect
from tests.integration.provider_server import Answer, ProviderServer

QUOTES = Quotes()
MESSAGES, CHAT, _ = DIALECTS
COMPATIBLE: list[tuple[Api, Dialect]] = [("anthropic", MESSAGES), ("openai", CHAT)]
NAMES = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    async with ProviderServer() as server:
        yield server


@pytest.mark.parametrize(("api", "dialect"), COMPATIBLE)
async def test_a_server_of_ones_own_gets_the_key_that_its_settings_name(
    server: ProviderServer, api: Api, dialect: Dialect
) -> None:
    server.script(dialect.says(QUOTES.model_dump_json()))
    local = ProviderSettings(api=api, base_url=server.url, key_variable="LOCAL_KEY")
    async with Providers({"local": local}, environment={"LOCAL_KEY": KEY, NAMES[api]: "another"}) as providers:
        reply = await providers.model("local:qwen3:4b").generate(Quotes, instructions="Pick.", question="?")
    assert reply.output == QUOTES
    assert reply.model == "local:qwen3:4b"
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.requests[0].body["model"] == "qwen3:4b"


@pytest.mark.parametrize(("api", "dialect"), COMPATIBLE)
async def test_a_server_of_ones_own_gets_no_key_that_was_meant_for_another(
    server: ProviderServer, api: Api, dialect: Dialect
) -> None:
    server.script(dialect.says(QUOTES.model_dump_json()))
    local = ProviderSettings(api=api, base_url=server.url)
    environment = {NAMES[api]: KEY, "OPENAI_ORG_ID": "org", "ANTHROPIC_AUTH_TOKEN": KEY}
    async with Providers({"local": local}, environment=environment) as providers:
        await providers.model("local:test").generate(Quotes, instructions="Pick.", question="?")
    headers = server.requests[0].headers
    assert "authorization" not in headers
    assert "x-api-key" not in headers
    assert not any(name.startswith("openai-") for name in headers)


@pytest.mark.parametrize(("api", "dialect"), COMPATIBLE)
async def test_a_built_in_provider_can_be_sent_elsewhere_by_the_variables_of_its_sdk(
    server: ProviderServer, api: Api, dialect: Dialect
) -> None:
    server.script(dialect.says(QUOTES.model_dump_json()))
    environment = {NAMES[api]: KEY, NAMES[api].replace("API_KEY", "BASE_URL"): server.url}
    async with Providers(environment=environment) as providers:
        await providers.model(f"{api}:test").generate(Quotes, instructions="Pick.", question="?")
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://user:hunter2@127.0.0.1/v1"}
    async with Providers(environment=environment) as providers:
        with pytest.raises(NotConfigured, match="OPENAI_BASE_URL is wrong") as caught:
            providers.model("openai:test")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        ({}, "openai:test", "there is no key for openai: set OPENAI_API_KEY"),
        ({}, "anthropic:test", "there is no key for anthropic: set ANTHROPIC_API_KEY"),
        ({"work": ProviderSettings(key_variable="WORK_KEY")}, "work:test", "there is no key for work: set WORK_KEY"),
        ({"work": ProviderSettings()}, "work:test", r"set key_variable in \[providers.work\], and that variable"),
    ],
)
async def test_a_missing_key_is_told_with_its_variable(
    settings: dict[str, ProviderSettings], name: str, message: str
) -> None:
    async with Providers(settings, environment={}) as providers:
        with pytest.raises(KeyMissing, match=message):
            providers.model(name)


async def test_a_missing_package_is_told_with_the_line_that_installs_it() -> None:
    async with Providers(environment={"OPENAI_API_KEY": KEY}, installed=lambda _: False) as providers:
        with pytest.raises(NotConfigured, match=r"pip install 'stretto\[openai\]'"):
            providers.model("openai:test")


@pytest.mark.parametrize(
    ("name", "message"), [("nobody:test", "there are anthropic, local, openai"), ("local:", "names no model")]
)
async def test_a_name_that_means_no_model_is_refused(name: str, message: str) -> None:
    async with Providers({"local": ProviderSettings(base_url="http://127.0.0.1:9")}, environment={}) as providers:
        with pytest.raises(NotConfigured, match=message):
            providers.model(name)


async def test_all_models_share_one_client_and_its_connections(server: ProviderServer) -> None:
    settings = {
        "one": ProviderSettings(base_url=server.url),
        "two": ProviderSettings(base_url=server.url, api="anthropic"),
    }
    text = QUOTES.model_dump_json()
    server.script(CHAT.says(text), MESSAGES.says(text), CHAT.says(text))
    async with Providers(settings, environment={}) as providers:
        for name in ("one:a", "two:b", "one:c"):
            await providers.model(name).generate(Quotes, instructions="Pick.", question="?")
    assert len(server.requests) == 3
    assert server.connections == 1


async def test_closing_them_closes_the_connections_of_calls_under_way(server: ProviderServer) -> None:
    server.script(Answer(parts=[asyncio.Event()]))
    providers = Providers({"local": ProviderSettings(base_url=server.url)}, environment={})
    call = asyncio.ensure_future(providers.model("local:test").generate(Quotes, instructions="Pick.", question="?"))
    await server.arrived.wait()
    await providers.close()
    await server.left.wait()
    with pytest.raises(ModelUnavailable):
        await call


async def test_what_is_asked_follows_no_redirect(server: ProviderServer) -> None:
    async with ProviderServer() as other:
        server.script(Answer({}, status=307, headers={"location": f"{other.url}/chat/completions"}))
        async with Providers({"local": ProviderSettings(base_url=server.url)}, environment={}) as providers:
            with pytest.raises(NotConfigured, match="not known at its address"):
                await providers.model("local:test").generate(Quotes, instructions="Pick.", question="?")
        assert other.requests == []
