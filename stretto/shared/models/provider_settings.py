"""ProviderSettings: where a provider's models are, and how they are called."""

import re
from typing import Annotated, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["BUILT_IN", "Api", "ProviderSettings", "check_base_url"]

Api = Literal["anthropic", "openai"]

BUILT_IN: tuple[Api, ...] = ("anthropic", "openai")
"""Providers that need no settings: their names are those of the protocols that they speak."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_URL: Final = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
_KEY: Final = re.compile(r"api_?key|secret|token$", re.IGNORECASE)


def check_base_url(url: str) -> str:
    """The address, if it is one and holds no secret.

    Raises:
        ValueError: it is not, or does.
    """
    if not _URL.fullmatch(url):
        raise ValueError("a base URL is like http://host:port/v1, without user, password and query")
    return url


class ProviderSettings(BaseModel):
    """One provider, as `[providers.NAME]` in `stretto.toml`; its models are named `NAME:MODEL`.

    Attributes:
        api: the protocol that its server speaks; that of its name for a built-in provider, else `openai`.
        base_url: where the server is; without one, the provider's own.
        key_variable: the environment variable that holds the key. Built-in providers have the variables of their SDKs; to others no key
            is sent unless one is named here.
        time_limit_s: for one call, repairs of the reply included.
        stall_limit_s: how long a streamed reply may stand still.
        max_output_tokens: how long a reply may get, thoughts included.
        context_tokens: of its models, reply included, where that is not publicly known or the server allows less.
        repairs: how often a reply that does not fit its type is sent back.
        requests_per_minute, tokens_per_minute: what all processes of the deployment together send it, and take of it; None for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api: Api | None = None
    base_url: str | None = None
    key_variable: str | None = None
    time_limit_s: Annotated[float, Field(gt=0)] = 300.0
    stall_limit_s: Annotated[float, Field(gt=0)] = 60.0
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    context_tokens: Annotated[int, Field(ge=512)] | None = None
    repairs: Annotated[int, Field(ge=0, le=9)] = 2
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_key(cls, given: object) -> object:
        if isinstance(given, dict) and _names_a_key(cast("dict[object, object]", given)):
            raise ValueError(
                "a key never stands in the settings: put it into an environment variable, and name that as key_variable"
            )
        return given  # pyright: ignore[reportUnknownVariableType]  # it is looked at, and handed on as it came

    @field_validator("base_url", mode="after")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        return None if url is None else check_base_url(url)

    @field_validator("key_variable", mode="after")
    @classmethod
    def _is_variable(cls, name: str | None) -> str | None:
        if name is not None and not _VARIABLE.fullmatch(name):
            raise ValueError("key_variable must be the name of an environment variable, not the key itself")
        return name


def _names_a_key(given: dict[object, object]) -> bool:
    return any(_KEY.search(str(name)) for name in given)
