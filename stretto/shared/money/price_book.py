"""PriceBook: what each model costs, from the deployment's own settings, else from the data of genai-prices."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.money.price import FREE, Price

if TYPE_CHECKING:
    from stretto.shared.money.listed_prices import ListedPrices

__all__ = ["PriceBook"]

_OFFLINE: Final = "offline"
_SCRIPTED: Final = "scripted:"


class PriceBook:
    """Looks prices up. Nothing is sent to anybody: the data are those that came with the installed genai-prices.

    The settings' own prices come first: those of the model, then those of `PROVIDER:*`. `offline` and scripted models cost nothing.

    Args:
        own: by `PROVIDER:MODEL` or `PROVIDER:*`.
        providers: the deployment's, by name: where their servers are says whose prices hold.
        now: some prices hold for a time only.
    """

    def __init__(
        self,
        own: Mapping[str, Price] | None = None,
        *,
        providers: Mapping[str, ProviderSettings] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._own = dict(own or {})
        self._providers = dict(providers or {})
        self._now = now
        self._listed: ListedPrices | None = None

    def load(self) -> None:
        """Read the data of genai-prices now (a quarter of a second), rather than at the first model that needs it. From any thread."""
        if self._listed is None:
            from stretto.shared.money.listed_prices import ListedPrices

            self._listed = ListedPrices()

    def price_of(self, model: str) -> Price | None:
        """The price of `offline`, `scripted:...` or `PROVIDER:MODEL`; None where nobody knows it."""
        if model == _OFFLINE or model.startswith(_SCRIPTED):
            return FREE
        provider, _, name = model.partition(":")
        own = self._own.get(model) or self._own.get(f"{provider}:*")
        if own is not None or not name:
            return own
        self.load()
        if self._listed is None:
            return None
        settings = self._providers.get(provider)
        return self._listed.find(provider, name, base_url=settings.base_url if settings else None, at=self._now())

    def window_of(self, model: str) -> int | None:
        """The tokens that `PROVIDER:MODEL` takes, reply included; None where nobody knows it."""
        provider, _, name = model.partition(":")
        self.load()
        if self._listed is None or not name:
            return None
        settings = self._providers.get(provider)
        return self._listed.window_of(provider, name, base_url=settings.base_url if settings else None)

    def line_to_add(self, model: str) -> str:
        """What to write into `stretto.toml` for a model without a price. Its question marks are for a person to fill in: no number that is
        made up can be taken for a price."""
        return f"[prices.{json.dumps(model)}]\ninput = ?   # US dollars per million tokens\noutput = ?"
