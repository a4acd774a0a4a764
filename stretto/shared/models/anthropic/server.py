"""AnthropicServer: Anthropic's API, or a server that speaks its protocol."""

from collections.abc import Mapping
from typing import Final

import anthropic
import httpx2

from stretto.shared.models.anthropic.messages import AnthropicMessages
from stretto.shared.models.exchange import Endpoint
from stretto.shared.models.provider_access import CONNECT_LIMIT_S, find_base_url, find_key, missing_key
from stretto.shared.models.provider_settings import ProviderSettings

__all__ = ["AnthropicServer"]

_NAME: Final = "anthropic"
_HOST: Final = "api.anthropic.com"


class AnthropicServer:
    """As `Server`. Without a key in the settings or in ANTHROPIC_API_KEY, the SDK looks for other credentials of the account.

    Raises:
        KeyMissing: the text names the variable.
    """

    def __init__(
        self,
        provider: str,
        settings: ProviderSettings,
        *,
        environment: Mapping[str, str],
        http: httpx2.AsyncClient,
    ) -> None:
        built_in = provider == _NAME
        key_variable = "ANTHROPIC_API_KEY" if built_in else None
        key = find_key(provider, settings, environment, default=key_variable)
        url = find_base_url(settings, environment, default="ANTHROPIC_BASE_URL" if built_in else None)
        self._own = url is None or httpx2.URL(url).host == _HOST
        self._client = anthropic.AsyncAnthropic(
            api_key=key or (None if self._own else "none"),
            base_url=url,
            http_client=http,
            max_retries=0,  # retries have one owner, and it is not the SDK
            timeout=httpx2.Timeout(settings.time_limit_s, connect=CONNECT_LIMIT_S),
            open_telemetry=False,  # our own spans tell of the call
        )
        if not (self._client.api_key or self._client.auth_token or self._client.credentials):
            raise missing_key(provider, default=key_variable)
        self._headers = None if self._own else {"Authorization": f"Bearer {key}" if key else anthropic.omit}
        self._max_output_tokens = settings.max_output_tokens
        self._stream_timeout = httpx2.Timeout(settings.stall_limit_s, connect=CONNECT_LIMIT_S)

    @property
    def base_url(self) -> str:
        return str(self._client.base_url)

    def endpoint(self, *, name: str, model: str) -> Endpoint:
        """As `Server.endpoint`."""
        return AnthropicMessages(
            self._client,
            name=name,
            model=model,
            compatible=not self._own,
            max_output_tokens=self._max_output_tokens,
            stream_timeout=self._stream_timeout,
            headers=self._headers,
        )

    async def close(self) -> None:
        """As `Server.close`."""
        await self._client.close()
