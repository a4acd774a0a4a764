"""Models: the model that the setting `model` names."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from stretto.shared.models.protocol import Model
from stretto.shared.settings import SettingsError

__all__ = ["check_model", "model_of"]

_SCRIPTED = "scripted:"


def model_of(name: str, *, embed: Callable[[Sequence[str]], Awaitable[list[list[float]]]]) -> Model:
    """The model; `embed` gives it the unit vectors of texts.

    Raises:
        SettingsError: there is none of that name.
        ScriptMismatch: the script cannot be read.
    """
    check_model(name)
    if name == "offline":
        from stretto.shared.models.offline import OfflineModel

        return OfflineModel(embed=embed)
    from stretto.shared.models.scripted import ScriptedModel

    return ScriptedModel.from_file(Path(name.removeprefix(_SCRIPTED)))


def check_model(name: str) -> None:
    """Raises SettingsError when there is no such model."""
    if name != "offline" and not name.startswith(_SCRIPTED):
        raise SettingsError(f"settings: there is no model {name!r}: use `offline`, or `scripted:FILE` for tests")
