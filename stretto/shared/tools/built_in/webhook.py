"""Webhook: sends JSON to an address, with an idempotency key."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import JsonValue

from stretto.shared.settings import SettingsError
from stretto.shared.tools.errors import ToolForbidden, ToolUnavailable
from stretto.shared.tools.protocol import Consequences
from stretto.shared.tools.webhook_settings import WebhookSettings

__all__ = ["Webhook"]

_CONNECT_LIMIT_S: Final = 10.0
_READ_LIMIT_S: Final = 300.0
_MAX_REASON_CHARS: Final = 300


class Webhook:
    """One address. It is sent what is given, and no redirect is followed.

    Args:
        name: of the tool that sends.
        environment: where the variables are looked up that the settings name.

    Raises:
        SettingsError: there is no address, or a variable is not set.
    """

    def __init__(self, name: str, settings: WebhookSettings, *, environment: Mapping[str, str]) -> None:
        self._name = name
        variables = [*settings.headers.values(), *([settings.url_variable] if settings.url_variable else [])]
        missing = [one for one in variables if not environment.get(one)]
        if missing:
            raise SettingsError(f"settings: tools.{name} needs {', '.join(missing)} in the environment")
        self._url = settings.url or (environment[settings.url_variable] if settings.url_variable else "")
        if not self._url:
            raise SettingsError(f"settings: tools.{name} needs a url, or a url_variable")
        self._headers = {header: environment[variable] for header, variable in settings.headers.items()}
        self.effects: Consequences = "keyed" if settings.idempotent else "unkeyed"

    async def post(self, body: Mapping[str, JsonValue], *, key: str) -> dict[str, JsonValue]:
        """Send it; return what came back, if that is a JSON object, else nothing.

        Raises:
            ToolForbidden: it is refused, and will be again (HTTP 4xx); the text has the receiver's `error`.
            ToolUnavailable: it is not reached, or fails.
        """
        import httpx2

        from stretto.shared.tools.bounded_http import BoundedTransport

        headers = {"Content-Type": "application/json", **self._headers, "Idempotency-Key": key}
        timeout = httpx2.Timeout(_CONNECT_LIMIT_S, read=_READ_LIMIT_S)
        try:
            async with httpx2.AsyncClient(timeout=timeout, transport=BoundedTransport()) as client:
                response = await client.post(self._url, content=json.dumps(body).encode(), headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ToolUnavailable(f"{self._name} does not reach its webhook: {type(error).__name__}") from error
        answer = _object(response.content)
        if response.is_success:
            return answer
        reason = answer.get("error")
        told = f": {reason[:_MAX_REASON_CHARS]}" if isinstance(reason, str) else ""
        refused = response.is_client_error and response.status_code not in (408, 425, 429)
        kind = ToolForbidden if refused else ToolUnavailable
        raise kind(f"{self._name}: the webhook answers with status {response.status_code}{told}")


def _object(content: bytes) -> dict[str, JsonValue]:
    try:
        found: Any = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]  # JSON
