"""Settings: read once per process from `STRETTO_...` variables and `stretto.toml`, then passed down in pieces."""

import difflib
import json
import os
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as VariableUnreadable

from stretto.bus.connection import ConnectionOptions
from stretto.bus.streams import Deployment
from stretto.bus.subjects import Subjects, Token
from stretto.shared.contracts.budget import Budget
from stretto.shared.contracts.retry import RetryPolicy
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.money.price import Price
from stretto.shared.money.tenant_budget import TenantBudget
from stretto.shared.tools.settings import ToolName, ToolSettings

__all__ = ["Settings", "SettingsError", "load_settings"]

CONFIG_VARIABLE = "STRETTO_CONFIG"
_DEFAULT = "default"


class SettingsError(Exception):
    """A setting is wrong; the text names it and says what would be right."""


def _spelt_right(kind: type[BaseModel]) -> Callable[[object], object]:
    """Refuses fields that a `kind` has not: as a message it would only ignore them."""

    def check(value: object) -> object:
        for name in value if isinstance(value, Mapping) else ():  # pyright: ignore[reportUnknownVariableType]  # whatever was written
            if name not in kind.model_fields:
                raise ValueError(f"there is no {name!r}: use {', '.join(kind.model_fields)}")
        return value  # pyright: ignore[reportUnknownVariableType]  # it is validated next

    return check


def _listed(value: object) -> object:
    """One name is a list of one."""
    return (value,) if isinstance(value, str) else value


def _default_data_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "stretto"


class Settings(BaseSettings):
    """One process's settings. Each can be set as `STRETTO_NAME` or as `name` in `stretto.toml`; variables win.

    Attributes:
        data_dir: where the embedded system keeps the bus's store and the vectors.
        nats_url: the server to use; without one the embedded server is.
        nats_credentials: path of a NATS credentials file.
        prefix: first token of all subjects; deployments with different ones share a server without meeting.
        tenant, principal: for whom the command line speaks.
        model: what all agents think with: `offline`, `PROVIDER:MODEL`, or `scripted:FILE` for tests. Unset, keys in the environment decide.
        models: by role, the models that are asked one after the other until one answers; `default` holds for the roles that are not named.
        confidence: by role, how sure a model must be, 0 to 1, if the next one is not to be asked; `default` likewise.
        providers: language models' providers, by the name that stands before their models.
        prices: what models cost, by `PROVIDER:MODEL` or `PROVIDER:*`; before those that genai-prices knows.
        prompts: a folder with prompts in place of Stretto's own, by the same names, as in `agents/writer.md`.
        playbooks: folders with playbooks beside the built-in ones.
        run_deadline_s: how long a run may take that sets no limit of its own.
        role_wait_s: how long a run waits for somebody to serve a role that it needs.
        retries: which failed tasks are tried again, how often and when, by role; `default` holds for the roles that are not named, and
            for what a role's policy leaves out.
        budget: what each run may take at most; requests and playbooks may allow less.
        tools: what agents may use, by name, and who may.
        tenant_budgets: what all runs of a tenant may take in a day and in a month; `default` holds for the tenants that are not named.
        grace_s: how long a process that is told to stop may finish what it has in hand.
        log_format: lines for people (`text`) or for programs (`json`); `auto`: for people where stderr is a terminal.
        log_error_texts: the log says what unforeseen errors say, which may be what was asked or read.
        sync_always: the embedded server writes to disk before it acknowledges.
    """

    model_config = SettingsConfigDict(
        env_prefix="STRETTO_", frozen=True, extra="ignore", hide_input_in_errors=True, env_nested_delimiter="__"
    )

    data_dir: Path = Field(default_factory=_default_data_dir)
    nats_url: str | None = None
    nats_credentials: Path | None = None
    nats_server: Path | None = None
    prefix: Token = "stretto"
    tenant: Token = "default"
    principal: Token = "local"
    shards: Annotated[int, Field(ge=1, le=256)] = 4
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    retention_days: Annotated[int, Field(ge=1)] = 90
    model: str | None = None
    models: dict[Token, Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]] = Field(
        default_factory=dict[str, tuple[str, ...]]
    )
    confidence: dict[Token, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict[str, float])
    providers: dict[Token, ProviderSettings] = Field(default_factory=dict[Token, ProviderSettings])
    prices: dict[str, Price] = Field(default_factory=dict[str, Price])
    prompts: Path | None = None
    playbooks: tuple[Path, ...] = ()
    run_deadline_s: Annotated[float, Field(gt=0)] = 900.0
    role_wait_s: Annotated[float, Field(gt=0)] = 30.0
    task_lease_s: Annotated[float, Field(ge=1)] = 30.0
    run_lease_s: Annotated[float, Field(ge=1)] = 15.0
    grace_s: Annotated[float, Field(ge=0)] = 10.0
    sync_always: bool = True
    log_level: str = "WARNING"
    log_format: Literal["auto", "text", "json"] = "auto"
    log_error_texts: bool = False
    retries: Mapping[Token, Annotated[RetryPolicy, BeforeValidator(_spelt_right(RetryPolicy))]] = Field(
        default_factory=lambda: {_DEFAULT: RetryPolicy()}
    )
    budget: Annotated[Budget, BeforeValidator(_spelt_right(Budget))] | None = None
    tools: dict[ToolName, ToolSettings] = Field(default_factory=dict[str, ToolSettings])
    tenant_budgets: Mapping[Token, TenantBudget] = Field(default_factory=dict[Token, TenantBudget])

    @field_validator("data_dir", "nats_credentials", "nats_server", "prompts", mode="after")
    @classmethod
    def _at_home(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path else None

    @field_validator("retries", mode="after")
    @classmethod
    def _with_default(cls, retries: Mapping[str, RetryPolicy]) -> Mapping[str, RetryPolicy]:
        default = retries.get(_DEFAULT, RetryPolicy())
        said = {role: policy.model_dump(exclude_unset=True) for role, policy in retries.items()}
        return {_DEFAULT: default, **{role: default.model_copy(update=one) for role, one in said.items()}}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, InitSettingsSource(settings_cls, _read_file(settings_cls.model_fields)))

    @property
    def deployment(self) -> Deployment:
        """What all processes of this deployment agree on."""
        return Deployment(
            subjects=Subjects(self.prefix),
            shards=self.shards,
            replicas=self.replicas,
            retention_days=self.retention_days,
            task_lease_s=self.task_lease_s,
            run_lease_s=self.run_lease_s,
        )

    def connection(self, url: str, *, name: str, wait_s: float = 0.0) -> ConnectionOptions:
        """How to connect to the server at `url`."""
        credentials = str(self.nats_credentials) if self.nats_credentials else None
        return ConnectionOptions(url=url, name=f"{self.prefix}-{name}", wait_s=wait_s, credentials=credentials)


def load_settings(**overrides: object) -> Settings:
    """Read the settings; `overrides` (from the command line) win over everything.

    Raises:
        SettingsError: naming the setting and what is wrong with it.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False, include_context=False)
        raise SettingsError("settings: " + "; ".join(_told(one["loc"], one) for one in wrong)) from error
    except VariableUnreadable as error:
        raise SettingsError(
            f"settings: {error}: write it as JSON, as in STRETTO_PLAYBOOKS='[\"./mine\"]' or "
            'STRETTO_RETRIES=\'{"default": {"tries": 3}}\''
        ) from error


def _file() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE) or "stretto.toml").expanduser()


def _read_file(known: Collection[str]) -> dict[str, Any]:
    """What the settings file says; nothing where there is none.

    Raises:
        SettingsError: it cannot be read, or has a setting that is not known.
    """
    file = _file()
    if not file.is_file():
        if os.environ.get(CONFIG_VARIABLE):
            raise SettingsError(f"{CONFIG_VARIABLE} names {file}, which is not a file")
        return {}
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file {file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SettingsError(f"the settings file {file} cannot be read: it is no TOML: {error}") from error
    for name in found.keys() - known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
        raise SettingsError(f"the settings file {file} has the unknown setting {name!r}: {meant}")
    return found


def _told(path: Sequence[str | int], error: Any) -> str:
    steps = [str(step) for step in path if step != "[key]"]
    if steps[0] == "tools" and len(steps) > 3:
        del steps[2]  # pydantic names the kind there, which the settings write beside the others
    variable, nested = f"STRETTO_{steps[0].upper()}", f"STRETTO_{'__'.join(steps).upper()}"
    said = nested if nested in os.environ else variable if _says(variable, steps[1:]) else None
    place = said or (f"in {_file()}" if _file().is_file() else "as given")
    what = error["msg"].removeprefix("Value error, ")
    match error["type"]:
        case "string_pattern_mismatch":
            what = "use 1 to 64 of a-z, 0-9, _ and -"
        case "extra_forbidden":
            what = "there is no such setting"
        case "union_tag_not_found":
            what = 'say of which kind it is, as in kind = "calculate"'
        case "union_tag_invalid":
            what = f"there is no such kind: use one of {what.rpartition(': ')[2]}"
        case _:
            pass
    return f"{'.'.join(steps)} ({place}): {what}"


def _says(variable: str, path: Sequence[str]) -> bool:
    """Whether the variable says something at `path` within its setting; the file may say the rest."""
    if variable not in os.environ:
        return False
    try:
        value = json.loads(os.environ[variable]) if path else None
    except ValueError:
        return True
    for step in path:
        if not isinstance(value, dict):
            return True
        if step not in value:
            return False
        value = value[step]  # pyright: ignore[reportUnknownVariableType]  # JSON
    return True
