"""ToolSettings: which tools there are, who may use them, and within which limits."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from stretto.bus.subjects import Token
from stretto.shared.tools.limits import ToolLimits
from stretto.shared.tools.mcp_settings import McpServerSettings
from stretto.shared.tools.names import check_tool_name
from stretto.shared.tools.webhook_settings import WebhookSettings

__all__ = [
    "CalculateSettings",
    "FetchSettings",
    "FunctionSettings",
    "McpSettings",
    "MemorySearchSettings",
    "PublishSettings",
    "ReadFileSettings",
    "TicketSettings",
    "ToolLimitSettings",
    "ToolName",
    "ToolSettings",
]

_FUNCTION: Final = re.compile(r"[\w.]+:\w+")
_HOST: Final = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)

ToolName = Annotated[str, BeforeValidator(lambda name: check_tool_name(name) if isinstance(name, str) else name)]


class ToolLimitSettings(BaseModel):
    """What all kinds of tools have in common.

    Attributes:
        roles: whose agents may use it; nobody else is even told of it.
        time_limit_s: of each call.
        size_limit_bytes: of each result, as JSON.
        over: what becomes of a longer result: it is cut, with a mark, or kept whole as an artifact, of which the beginning is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    roles: Annotated[tuple[Token, ...], Field(min_length=1)]
    time_limit_s: Annotated[float, Field(gt=0, le=3_600)] = 30.0
    size_limit_bytes: Annotated[int, Field(ge=256, le=1_048_576)] = 65_536
    over: Literal["cut", "artifact"] = "cut"

    @property
    def limits(self) -> ToolLimits:
        return ToolLimits(time_limit_s=self.time_limit_s, size_limit_bytes=self.size_limit_bytes, over=self.over)


class FunctionSettings(ToolLimitSettings):
    """A function that `@tool` was put on, as `module:name`; the module may lie in the folder where the process starts."""

    kind: Literal["function"]
    function: str

    @field_validator("function", mode="after")
    @classmethod
    def _is_place(cls, place: str) -> str:
        if not _FUNCTION.fullmatch(place):
            raise ValueError('name a function as "module:name"')
        return place


class MemorySearchSettings(ToolLimitSettings):
    """Search in the shared memory; `hits` is how many passages are found unless the call says."""

    kind: Literal["memory_search"]
    hits: Annotated[int, Field(ge=1, le=20)] = 8


class ReadFileSettings(ToolLimitSettings):
    """Reading files under the folder `root`."""

    kind: Literal["read_file"]
    root: Path
    max_file_bytes: Annotated[int, Field(ge=1)] = 8_388_608


class FetchSettings(ToolLimitSettings):
    """Reading pages of the web: see `Fetch`."""

    kind: Literal["fetch"]
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    schemes: Annotated[tuple[Literal["http", "https"], ...], Field(min_length=1)] = ("https",)
    ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = ()
    loopback: bool = False
    max_body_bytes: Annotated[int, Field(ge=1)] = 2_097_152

    @field_validator("hosts", mode="after")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for one in hosts:
            if not _HOST.fullmatch(one) and not _is_address(one):
                raise ValueError(
                    "a host is like example.org, or *.example.org for all below it: no scheme, port or path"
                )
        return hosts


class CalculateSettings(ToolLimitSettings):
    """Arithmetic."""

    kind: Literal["calculate"]


class McpSettings(ToolLimitSettings, McpServerSettings):
    """The tools of a server that speaks the Model Context Protocol."""

    kind: Literal["mcp"]


class PublishSettings(ToolLimitSettings, WebhookSettings):
    """Publishing texts, in a folder or through a webhook, as Markdown or as HTML."""

    kind: Literal["publish"]
    folder: Path | None = None
    format: Literal["markdown", "html"] = "markdown"

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if bool(self.folder) == bool(self.url or self.url_variable):
            raise ValueError("publish into a folder, or through the webhook of a url or a url_variable")
        return self


class TicketSettings(ToolLimitSettings, WebhookSettings):
    """Opening tickets through a webhook."""

    kind: Literal["ticket"]


ToolSettings = Annotated[
    FunctionSettings
    | MemorySearchSettings
    | ReadFileSettings
    | FetchSettings
    | CalculateSettings
    | McpSettings
    | PublishSettings
    | TicketSettings,
    Field(discriminator="kind"),
]
"""One tool, or the tools of one server, as `[tools.NAME]` in `stretto.toml`. How each kind is opened stands in `opening.py`."""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
