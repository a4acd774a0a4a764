"""Providers: the language models' providers that a process calls, over one HTTP client."""

import logging
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

from stretto.shared.models.errors import NotConfigured
from stretto.shared.models.exchange import Endpoint
from stretto.shared.models.meter import Meter
from stretto.shared.models.provider_model import ProviderModel
from stretto.shared.models.provider_settings import BUILT_IN, Api, ProviderSettings
from stretto.shared.models.rate import Rates
from stretto.shared.money.price_book import PriceBook

if TYPE_CHECKING:
    import httpx2

__all__ = ["Providers", "Server", "api_of"]

_TALKATIVE: Final = ("anthropic", "openai", "httpx2", "httpcore2")


class Server(Protocol):
    """A provider's server."""

    @property
    def base_url(self) -> str: ...

    def endpoint(self, *, name: str, model: str) -> Endpoint:
        """One of its models; `name` is how errors call it."""
        ...

    async def close(self) -> None: ...


def api_of(provider: str, settings: ProviderSettings) -> Api:
    """The protocol that the provider's server speaks."""
    return settings.api or ("anthropic" if provider == "anthropic" else "openai")


class Providers:
    """Opens a provider when its first model is asked for, and closes all at its end (it is an async context manager).

    Args:
        settings: by the provider's name; those of the built-in ones may be left out.
        environment: where the variables that settings name are looked up.
        installed: whether the package of a protocol is there.
        prices: what requests cost; without them they cost nothing.
        rates: asked before each request; without them nothing is limited.
    """

    def __init__(
        self,
        settings: Mapping[str, ProviderSettings] | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        installed: Callable[[str], bool] = lambda package: find_spec(package) is not None,
        prices: PriceBook | None = None,
        rates: Rates | None = None,
    ) -> None:
        self._settings: dict[str, ProviderSettings] = {name: ProviderSettings() for name in BUILT_IN} | dict(
            settings or {}
        )
        self._environment = environment
        self._installed = installed
        self.prices = prices
        self.rates = rates
        self._http: httpx2.AsyncClient | None = None
        self._servers: dict[str, Server] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def settings(self) -> Mapping[str, ProviderSettings]:
        """All providers that are known, by name."""
        return self._settings

    def model(self, name: str) -> ProviderModel:
        """The model `provider:model`. Nothing is sent yet.

        Raises:
            NotConfigured, KeyMissing: the text says what is missing.
        """
        provider, _, model = name.partition(":")
        server = self.server(provider)
        if not model:
            raise NotConfigured(f"{name!r} names no model: write {provider}:MODEL")
        settings = self._settings[provider]
        return ProviderModel(
            name=name,
            endpoint=server.endpoint(name=name, model=model),
            time_limit_s=settings.time_limit_s,
            repairs=settings.repairs,
            meter=Meter(name=name, prices=self.prices, rates=self.rates),
            base_url=server.base_url,
        )

    def server(self, provider: str) -> Server:
        """The provider's server. Nothing is sent yet.

        Raises:
            NotConfigured, KeyMissing: the text says what is missing.
        """
        if provider not in self._settings:
            known = ", ".join(sorted(self._settings))
            raise NotConfigured(
                f"there is no provider {provider!r}: there are {known}; others are set up in stretto.toml"
            )
        if provider not in self._servers:
            self._servers[provider] = self._open(provider, self._settings[provider])
        return self._servers[provider]

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        servers, self._servers = self._servers, {}
        for server in servers.values():
            await server.close()
        http, self._http = self._http, None
        if http:
            await http.aclose()

    def _open(self, provider: str, settings: ProviderSettings) -> Server:
        api = api_of(provider, settings)
        if not self._installed(api):
            raise NotConfigured(f"{provider} needs the package {api}: pip install 'stretto[{api}]'")
        http = self._open_http()
        match api:
            case "anthropic":
                from stretto.shared.models.anthropic.server import AnthropicServer

                server: Server = AnthropicServer(provider, settings, environment=self._environment, http=http)
            case "openai":
                from stretto.shared.models.openai.server import OpenAIServer

                server = OpenAIServer(provider, settings, environment=self._environment, http=http)
        if self.prices is not None:
            self.prices.load()  # now, as the protocol's package: not while the first reply is waited for
        _keep_quiet()
        return server

    def _open_http(self) -> "httpx2.AsyncClient":
        if self._http is None:
            import httpx2

            self._http = httpx2.AsyncClient(
                limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
                follow_redirects=False,  # what is asked goes where the settings say, and nowhere else
            )
        return self._http


def _keep_quiet() -> None:
    """Keep requests out of our logs: at the level DEBUG, SDKs write them down whole."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() < logging.INFO:
            logger.setLevel(logging.INFO)
