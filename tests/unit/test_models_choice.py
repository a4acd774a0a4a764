"""Which models a role asks, by the settings and by the keys in the environment."""

import pytest

from stretto.agents.errors import TaskMisconfigured
from stretto.cli.models import Choice, Models, check_models, choice_of, choices
from stretto.shared.contracts.ensemble import Ensemble
from stretto.shared.models.errors import KeyMissing
from stretto.shared.models.keys import KEYS, keys_in
from stretto.shared.models.providers import Providers
from stretto.shared.money.price_book import PriceBook
from stretto.shared.settings import Settings, SettingsError

OWN = {"models": {"writer": ("openai:w", "offline")}}
DEFAULT = {"models": {"default": ("anthropic:d",), **OWN["models"]}}
BOTH = {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}


@pytest.mark.parametrize(
    ("said", "environment", "role", "names", "origin"),
    [
        ({}, {}, "writer", ("offline",), ""),
        ({}, {"OPENAI_API_KEY": " "}, "writer", ("offline",), ""),
        ({}, {"OPENAI_API_KEY": "k"}, "writer", (KEYS["OPENAI_API_KEY"], "offline"), "OPENAI_API_KEY"),
        ({}, BOTH, "any", (*KEYS.values(), "offline"), "ANTHROPIC_API_KEY, OPENAI_API_KEY"),
        ({"model": "offline"}, BOTH, "writer", ("offline",), "model"),
        (OWN, BOTH, "writer", ("openai:w", "offline"), "models.writer"),
        (OWN, {}, "reviewer", ("offline",), ""),
        (DEFAULT, BOTH, "reviewer", ("anthropic:d",), "models.default"),
        (DEFAULT, BOTH, "writer", ("openai:w", "offline"), "models.writer"),
        (DEFAULT | {"model": "openai:m"}, BOTH, "reviewer", ("openai:m",), "model"),
        (DEFAULT | {"model": "openai:m"}, BOTH, "writer", ("openai:w", "offline"), "models.writer"),
    ],
)
def test_the_roles_own_chain_goes_first_then_what_holds_for_all_then_the_keys(
    said: dict[str, object], environment: dict[str, str], role: str, names: tuple[str, ...], origin: str
) -> None:
    assert choice_of(role, Settings.model_validate(said), environment) == Choice(names, origin)


def test_how_sure_a_model_must_be_is_said_by_role_or_for_all() -> None:
    settings = Settings(confidence={"researcher": 0.4, "default": 0.2})
    found = {role: choice.confidence for role, choice in choices(settings, {}).items()}
    assert found == {"researcher": 0.4, "writer": 0.2, "reviewer": 0.2, "escalation": 0.2, "planner": 0.2}


def test_a_key_counts_only_where_the_package_of_its_provider_is() -> None:
    assert keys_in(BOTH, installed=lambda package: package == "openai") == ("OPENAI_API_KEY",)


@pytest.mark.parametrize("model", KEYS.values())
def test_the_prices_of_the_models_that_keys_bring_are_known(model: str) -> None:
    assert PriceBook().price_of(model) is not None


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"model": "gpt"}, "settings: model: there is no model 'gpt'"),
        ({"models": {"writer": ("offline", "lcoal:x")}}, "settings: models.writer: there is no model 'lcoal:x'"),
        ({"models": {"writer": ("local:",)}, "providers": {"local": {}}}, "there is no model 'local:'"),
    ],
)
def test_a_name_that_no_model_can_have_is_told_with_its_place(said: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_models(Settings.model_validate(said))
    assert problem in str(caught.value)


async def test_a_chain_needs_one_model_that_is_set_up() -> None:
    settings = Settings(models={"writer": ("openai:a", "offline"), "reviewer": ("openai:a", "anthropic:b")})
    async with Providers(environment={}) as providers:
        models = Models(settings, providers=providers, environment={})
        writer = models.of("writer")
        assert writer.names == ("openai:a", "offline")
        assert [one.state for one in writer.health] == ["unset", "ready"]
        with pytest.raises(KeyMissing, match="there is no key for openai: set OPENAI_API_KEY"):
            models.of("reviewer")


async def test_the_models_of_an_ensemble_are_opened_when_they_are_asked_but_their_names_are_checked() -> None:
    async with Providers(environment={}) as providers:
        models = Models(Settings(), providers=providers, environment={})
        panel = models.panel(Ensemble(models=("openai:a", "offline"), choose="best_of"))
        assert ([one.name for one in panel.models], panel.choose) == (["openai:a", "offline"], "best_of")
        with pytest.raises(TaskMisconfigured, match="there is no model 'lcoal:x'"):
            models.panel(Ensemble(models=("offline", "lcoal:x")))
