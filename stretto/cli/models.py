"""Models: the model that the setting `model` names."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

from stretto.shared.models.protocol import Model
from stretto.shared.models.provider_settings import BUILT_IN
from stretto.shared.models.providers import Providers
from stretto.shared.settings import SettingsError

__all__ = ["check_model", "model_of"]

_SCRIPTED = "scripted:"


def model_of(
    name: str,
    *,
    providers: Providers,
    embed: Callable[[Sequence[str]], Awaitable[list[list[float]]]] | None = None,
) -> Model:
    """The model; `embed` gives `offline` the unit vectors of texts.

    Raises:
        SettingsError: there is none of that name.
        NotConfigured, KeyMissing: its provider lacks something; the text says what.
        ScriptMismatch: the script cannot be read.
    """
    check_model(name, providers.settings)
    if name == "offline":
        from stretto.shared.models.offline import OfflineModel

        return OfflineModel(embed=embed)
    if name.startswith(_SCRIPTED):
        from stretto.shared.models.scripted import ScriptedModel

        return ScriptedModel.from_file(Path(name.removeprefix(_SCRIPTED)))
    return providers.model(name)


def check_model(name: str, providers: Collection[str] = ()) -> None:
    """Raises SettingsError when no model can have that name; `providers` are those of the settings."""
    provider, _, model = name.partition(":")
    known = {*BUILT_IN, *providers}
    if name == "offline" or (provider in {"scripted", *known} and model):
        return
    shown = ", ".join(f"`{one}:MODEL`" for one in sorted(known))
    raise SettingsError(f"settings: there is no model {name!r}: use `offline`, {shown}, or `scripted:FILE` for tests")
