"""Room: how many tokens may be sent to a model."""

from collections.abc import Mapping
from typing import Final, Protocol, cast

from stretto.shared.models.protocol import Model
from stretto.shared.models.provider_settings import ProviderSettings

__all__ = ["Rooms", "Windows", "room_of"]

_WINDOW_TOKENS: Final = 16_384
"""Of a model that nobody knows."""
_REPLY_TOKENS: Final = 4_096
_REPLY_SHARE: Final = 4
_AROUND_TOKENS, _AROUND_SHARE = 1_024, 8
"""For what a provider's protocol puts around it: the schema of the reply, the sentences that explain documents."""


class Windows(Protocol):
    """Knows models' contexts."""

    def window_of(self, model: str) -> int | None:
        """Tokens of `provider:model`, reply included; None where nobody knows."""
        ...


class Rooms:
    """Looks up a model's context: in the provider's settings (`context_tokens`), then in what is known publicly, else a small one.

    Room for the reply stays free: the provider's `max_output_tokens`, or 4,096; never more than a quarter of the context.
    """

    def __init__(self, settings: Mapping[str, ProviderSettings], *, windows: Windows | None = None) -> None:
        self._settings = settings
        self._windows = windows
        self._found: dict[str, int | None] = {}

    def of(self, name: str) -> int | None:
        """Tokens that may be sent to `provider:model`; None where nothing limits it, as for the built-in models."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> int | None:
        provider, colon, _ = name.partition(":")
        if not colon or provider not in self._settings:
            return None
        settings = self._settings[provider]
        known = self._windows.window_of(name) if self._windows and settings.context_tokens is None else None
        window = settings.context_tokens or known or _WINDOW_TOKENS
        reply = min(settings.max_output_tokens or _REPLY_TOKENS, window // _REPLY_SHARE)
        return window - reply - min(_AROUND_TOKENS, window // _AROUND_SHARE)


def room_of(model: Model) -> int | None:
    """Tokens that may be sent to the model, if it has a limit and says so as `context_tokens`."""
    return cast("int | None", getattr(model, "context_tokens", None))
