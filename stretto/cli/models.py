"""Models: which models a role asks, and the chain of them that its agents think with."""

import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

from stretto.agents.errors import TaskMisconfigured
from stretto.agents.panel import Panel
from stretto.cli.agents import BUILT_IN as BUILT_IN_AGENTS
from stretto.shared.context.room import Rooms
from stretto.shared.contracts.ensemble import Ensemble
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.errors import NotConfigured
from stretto.shared.models.keys import KEYS, keys_in
from stretto.shared.models.protocol import Model
from stretto.shared.models.provider_settings import BUILT_IN
from stretto.shared.models.providers import Providers
from stretto.shared.prompt_folder import load_prompts
from stretto.shared.settings import Settings, SettingsError
from stretto.shared.telemetry.breaker_gauge import tell_breakers

__all__ = ["Choice", "Models", "check_model", "check_models", "choice_of", "choices", "model_of"]

_SCRIPTED: Final = "scripted:"
_OFFLINE: Final = "offline"
_DEFAULT: Final = "default"
_JUDGE: Final = "reviewer"
"""Whose models pick the best of several replies."""

Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]


@dataclass(frozen=True, slots=True)
class Choice:
    """The models that a role asks.

    Attributes:
        names: first choice first.
        origin: what says so: a setting, or variables that hold keys; empty where nothing does.
        confidence: how sure a model must be if the next one is not to be asked.
    """

    names: tuple[str, ...]
    origin: str
    confidence: float | None = None


def choice_of(role: str, settings: Settings, environment: Mapping[str, str] = os.environ) -> Choice:
    """What is set for the role itself, else for all, else the models that the environment has keys for, else `offline`."""
    names, origin = _chosen(role, settings, environment)
    return Choice(names, origin, settings.confidence.get(role, settings.confidence.get(_DEFAULT)))


def choices(settings: Settings, environment: Mapping[str, str] = os.environ) -> dict[str, Choice]:
    """The choice of each role that is known here: those of the specialists, and those that the settings name."""
    roles = [*BUILT_IN_AGENTS, *sorted(settings.models.keys() - BUILT_IN_AGENTS.keys() - {_DEFAULT})]
    return {role: choice_of(role, settings, environment) for role in roles}


def _chosen(role: str, settings: Settings, environment: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    if role in settings.models:
        return settings.models[role], f"models.{role}"
    if settings.model is not None:
        return (settings.model,), "model"
    if _DEFAULT in settings.models:
        return settings.models[_DEFAULT], f"models.{_DEFAULT}"
    keys = keys_in(environment)
    return (*(KEYS[key] for key in keys), _OFFLINE), ", ".join(keys)


class Models:
    """The models of a process, each opened once, whoever asks it.

    Args:
        embed: gives `offline` the unit vectors of texts.

    Raises:
        SettingsError: the settings name a model that there cannot be, or a folder of prompts that cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        providers: Providers,
        embed: Embed | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        check_models(settings)
        self._settings = settings
        self._environment = environment
        self._prompts = load_prompts(settings.prompts)
        self._breakers = Breakers()
        tell_breakers(self._breakers)
        self._rooms = Rooms(providers.settings, windows=providers.prices)
        self.open: Callable[[str], Model] = cache(partial(model_of, providers=providers, embed=embed))

    def of(self, role: str) -> ModelChain:
        """The chain of a role.

        Raises:
            NotConfigured, KeyMissing: none of its models can be used; the text says what the first one lacks.
            ScriptMismatch: a script cannot be read.
        """
        choice = choice_of(role, self._settings, self._environment)
        lacking: list[NotConfigured] = []
        for name in choice.names:
            try:
                self.open(name)
            except NotConfigured as error:
                self._breakers.of(name).lacks(error)
                lacking.append(error)
        if len(lacking) == len(choice.names):
            raise lacking[0]
        return self.chain(*choice.names, confidence=choice.confidence)

    def chain(self, *names: str, confidence: float | None = None) -> ModelChain:
        """A chain of these models."""
        return ModelChain(
            names, open_model=self.open, breakers=self._breakers, confidence=confidence, room_of=self._rooms.of
        )

    def panel(self, ensemble: Ensemble) -> Panel:
        """The models of an ensemble. One that is not set up yet only fails for itself, when it is asked.

        Raises:
            TaskMisconfigured: it names one that there cannot be.
        """
        try:
            for name in ensemble.models:
                check_model(name, self._settings.providers)
        except SettingsError as error:
            raise TaskMisconfigured(f"the plan names a model that cannot be: {error}") from error
        judge = choice_of(_JUDGE, self._settings, self._environment).names
        models = tuple(self.chain(name) for name in ensemble.models)
        return Panel(models, self.chain(*judge), ensemble.choose, self._prompts)


def model_of(name: str, *, providers: Providers, embed: Embed | None = None) -> Model:
    """The model; `embed` gives `offline` the unit vectors of texts.

    Raises:
        SettingsError: there is none of that name.
        NotConfigured, KeyMissing: its provider lacks something; the text says what.
        ScriptMismatch: the script cannot be read.
    """
    check_model(name, providers.settings)
    if name == _OFFLINE:
        from stretto.shared.models.offline.model import OfflineModel

        return OfflineModel(embed=embed)
    if name.startswith(_SCRIPTED):
        from stretto.shared.models.scripted import ScriptedModel

        return ScriptedModel.from_file(Path(name.removeprefix(_SCRIPTED)))
    return providers.model(name)


def check_models(settings: Settings) -> None:
    """Raises SettingsError when a setting names a model that there cannot be."""
    named = {f"models.{role}": names for role, names in settings.models.items()}
    if settings.model is not None:
        named["model"] = (settings.model,)
    for setting, names in named.items():
        for name in names:
            check_model(name, settings.providers, setting=setting)


def check_model(name: str, providers: Collection[str] = (), *, setting: str = "") -> None:
    """Raises SettingsError when no model can have that name; `providers` are those of the settings, `setting` is where it stands."""
    provider, _, model = name.partition(":")
    known = {*BUILT_IN, *providers}
    if name == _OFFLINE or (provider in {"scripted", *known} and model):
        return
    shown = ", ".join(f"`{one}:MODEL`" for one in sorted(known))
    where = f"{setting}: " if setting else ""
    raise SettingsError(
        f"settings: {where}there is no model {name!r}: use `offline`, {shown}, or `scripted:FILE` for tests"
    )
