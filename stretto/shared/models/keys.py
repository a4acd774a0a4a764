"""keys: which models to ask where nobody chose any: those that the environment has keys for."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Final

__all__ = ["KEYS", "keys_in"]

KEYS: Final[Mapping[str, str]] = {
    "ANTHROPIC_API_KEY": "anthropic:claude-sonnet-5",
    "OPENAI_API_KEY": "openai:gpt-5.4-mini",
}
"""By variable, a model that does well for what it costs, and whose price is known. In the order in which they are asked."""


def keys_in(
    environment: Mapping[str, str],
    *,
    installed: Callable[[str], bool] = lambda package: find_spec(package) is not None,
) -> tuple[str, ...]:
    """The variables that hold a key for a provider whose package is `installed`."""
    return tuple(
        variable
        for variable, model in KEYS.items()
        if environment.get(variable, "").strip() and installed(model.partition(":")[0])
    )
