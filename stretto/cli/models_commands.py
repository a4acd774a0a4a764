"""models_commands: `stretto models`: which language models can be used here, and whether they answer."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from stretto.cli.dollars import dollars
from stretto.cli.errors import ExitCode
from stretto.cli.models import Choice, check_model, check_models, choices, model_of
from stretto.cli.output import write_json, write_table
from stretto.cli.price_view import PRICE_COLUMNS, price_cells, price_text
from stretto.shared.models.errors import ModelError
from stretto.shared.models.exchange import Means
from stretto.shared.models.providers import Providers, api_of
from stretto.shared.models.trial import Trial, try_model
from stretto.shared.money.price import Price
from stretto.shared.money.price_book import PriceBook
from stretto.shared.settings import Settings

__all__ = ["list_providers", "try_models"]

_MEANS: Final[dict[Means | None, str]] = {
    "strict": "schema, enforced",
    "loose": "schema",
    "object": "JSON, by asking",
    "text": "by asking",
    None: "",
}


async def list_providers(settings: Settings, *, as_json: bool) -> int:
    """Every provider, where it is, and what it lacks; the models that each role asks, and what they cost. Nothing is sent to any.

    Raises:
        SettingsError: the settings name a model that there cannot be.
    """
    check_models(settings)
    chosen = choices(settings)
    async with Providers(settings.providers) as providers:
        found = [_row(providers, name) for name in sorted(providers.settings)]
    book = _book(settings)
    prices = {name: book.price_of(name) for choice in chosen.values() for name in choice.names}
    if as_json:
        roles = {
            role: {"models": list(choice.names), "set_by": choice.origin, "confidence": choice.confidence}
            for role, choice in chosen.items()
        }
        priced = {name: _priced(price) for name, price in prices.items()}
        write_json({"roles": roles, "providers": found, "prices": priced})
        return ExitCode.OK
    write_table(
        ("provider", "protocol", "address", "state"),
        [("offline", "", "", "ready")]
        + [(row["provider"], row["api"], row["base_url"], row["state"]) for row in found],
    )
    write_table(("role", "models", "set by"), ((role, *_chosen(choice)) for role, choice in chosen.items()))
    write_table(("$ per million tokens", *PRICE_COLUMNS), ((name, *price_cells(one)) for name, one in prices.items()))
    return ExitCode.OK


def _book(settings: Settings) -> PriceBook:
    return PriceBook(settings.prices, providers=settings.providers)


def _priced(price: Price | None) -> dict[str, Any] | None:
    return None if price is None else price.model_dump(mode="json")


def _chosen(choice: Choice) -> tuple[str, str]:
    sure = f", each unless it is sure to {choice.confidence:g}" if choice.confidence is not None else ""
    return ", then ".join(choice.names) + sure, choice.origin or "nothing: there are no keys"


def _row(providers: Providers, name: str) -> dict[str, Any]:
    api = api_of(name, providers.settings[name])
    base_url, state = providers.settings[name].base_url or "", "ready"
    try:
        base_url = providers.server(name).base_url
    except ModelError as error:
        state = str(error)
    return {"provider": name, "api": api, "base_url": base_url, "ready": state == "ready", "state": state}


async def try_models(settings: Settings, names: Sequence[str], *, as_json: bool) -> int:
    """Call each model once, those of the settings when none is named. 1 when one of them does not answer as it should.

    Raises:
        SettingsError: there is no model of a name.
    """
    names = names or [name for choice in choices(settings).values() for name in choice.names]
    for name in names:
        check_model(name, settings.providers)
    book = _book(settings)
    async with Providers(settings.providers, prices=book) as providers:
        trials = [await _try(providers, name) for name in dict.fromkeys(names)]
    if as_json:
        write_json(
            {
                "models": [
                    {**asdict(one), "usage": one.usage.model_dump(), "price": _priced(book.price_of(one.model))}
                    for one in trials
                ]
            }
        )
    else:
        write_table(
            (
                "model",
                "answers",
                "seconds",
                "first text",
                "tokens in",
                "tokens out",
                "cost",
                "$ in / out per M",
                "form",
            ),
            (_shown(one, book.price_of(one.model)) for one in trials),
        )
    return ExitCode.FAILED if any(one.error for one in trials) else ExitCode.OK


async def _try(providers: Providers, name: str) -> Trial:
    try:
        model = model_of(name, providers=providers)
    except ModelError as error:
        return Trial(model=name, error=type(error).__name__, reason=str(error))
    return await try_model(model)


def _shown(trial: Trial, price: Price | None) -> tuple[object, ...]:
    answers = f"{trial.error}: {trial.reason}" if trial.error else "yes"
    first = "" if trial.first_text_s is None else f"{trial.first_text_s:.2f}"
    usage = trial.usage
    read = (
        f"{usage.input_tokens} ({usage.cached_input_tokens} cached)"
        if usage.cached_input_tokens
        else usage.input_tokens
    )
    return (
        trial.model,
        answers,
        f"{trial.seconds:.2f}",
        first,
        read,
        usage.output_tokens,
        "unknown" if price is None else dollars(usage.cost_usd),
        price_text(price),
        _MEANS[trial.means],
    )
