"""OpenAIServer: OpenAI's API, or a server that speaks its protocol (Ollama, vLLM, llama.cpp, gateways)."""

from collections.abc import Mapping
from typing import Final

import httpx2
import openai

from stretto.shared.models.exchange import Endpoint
from stretto.shared.models.openai.chat import OpenAIChat
from stretto.shared.models.openai.responses import OpenAIResponses
from stretto.shared.models.provider_access import CONNECT_LIMIT_S, find_base_url, find_key, missing_key
from stretto.shared.models.provider_settings import ProviderSettings

__all__ = ["OpenAIServer"]

_NAME: Final = "openai"
_HOST: Final = "api.openai.com"


class OpenAIServer:
    """As `Server`. At OpenAI's own address its models are asked by the responses API, elsewhere by chat completions.

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
        key_variable = "OPENAI_API_KEY" if built_in else None
        key = find_key(provider, settings, environment, default=key_variable)
        found = find_base_url(settings, environment, default="OPENAI_BASE_URL" if built_in else None)
        url = found or f"https://{_HOST}/v1"
        host = httpx2.URL(url).host
        self._own = host == _HOST or host.endswith(f".{_HOST}")
        if key is None and self._own:
            raise missing_key(provider, default=key_variable)
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=url,
            http_client=http,
            max_retries=0,  # retries have one owner, and it is not the SDK
            timeout=httpx2.Timeout(settings.time_limit_s, connect=CONNECT_LIMIT_S),
        )
        self._headers = None if self._own else _headers_elsewhere(key)
        self._max_output_tokens = settings.max_output_tokens
        self._stream_timeout = httpx2.Timeout(settings.stall_limit_s, connect=CONNECT_LIMIT_S)

    @property
    def base_url(self) -> str:
        return str(self._client.base_url)

    def endpoint(self, *, name: str, model: str) -> Endpoint:
        """As `Server.endpoint`."""
        kind = OpenAIResponses if self._own else OpenAIChat
        return kind(
            self._client,
            name=name,
            model=model,
            max_output_tokens=self._max_output_tokens,
            stream_timeout=self._stream_timeout,
            headers=self._headers,
        )

    async def close(self) -> None:
        """As `Server.close`."""
        await self._client.close()


def _headers_elsewhere(key: str | None) -> Mapping[str, str | openai.Omit]:
    """What the SDK finds in the environment for OpenAI, it would send to any server: leave it out."""
    return {
        "Authorization": f"Bearer {key}" if key else openai.omit,
        "OpenAI-Organization": openai.omit,
        "OpenAI-Project": openai.omit,
    }
