"""provider_access: key and address of a provider, from settings and environment. A key goes to the SDK and is kept nowhere else."""

from collections.abc import Mapping

from stretto.shared.models.errors import KeyMissing, NotConfigured
from stretto.shared.models.provider_settings import ProviderSettings, check_base_url

__all__ = ["CONNECT_LIMIT_S", "find_base_url", "find_key", "missing_key"]

CONNECT_LIMIT_S = 5.0
"""A server that does not take a connection in this time is away."""


def find_key(
    provider: str, settings: ProviderSettings, environment: Mapping[str, str], *, default: str | None
) -> str | None:
    """The key in the variable that the settings name, or in the one that is named by `default`; None where no key is there.

    Raises:
        KeyMissing: the settings name a variable that is not set.
    """
    variable = settings.key_variable or default
    key = environment.get(variable, "").strip() if variable else ""
    if not key and settings.key_variable:
        raise KeyMissing(f"there is no key for {provider}: set {settings.key_variable}")
    return key or None


def find_base_url(settings: ProviderSettings, environment: Mapping[str, str], *, default: str | None) -> str | None:
    """The address in the settings, or in the variable that is named by `default`; None where there is none.

    Raises:
        NotConfigured: the variable holds no address.
    """
    url = settings.base_url or (environment.get(default, "").strip() if default else "")
    if not url:
        return None
    try:
        return check_base_url(url)
    except ValueError as error:
        raise NotConfigured(f"{default} is wrong: {error}") from error


def missing_key(provider: str, *, default: str | None) -> KeyMissing:
    """There is no key at all; the text names the variable to set: `default`, or one that the settings are to name."""
    variable = default or f"key_variable in [providers.{provider}], and that variable"
    return KeyMissing(f"there is no key for {provider}: set {variable}")
