"""McpServerSettings: where a server of the Model Context Protocol is, and which of its tools are ours."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stretto.shared.tools.protocol import Consequences
from stretto.shared.tools.webhook_settings import Variable

__all__ = ["McpServerSettings"]


class McpServerSettings(BaseModel):
    """One server, as `[tools.NAME]` in `stretto.toml`. It is a command that speaks on its standard input and output, or an address.

    Attributes:
        command: what starts the server; folder: where it is started.
        environment: variables of ours that the command gets, beside PATH and the like.
        url: its address, for streamable HTTP.
        headers: by header, the environment variable that holds its value.
        tools: those of its tools that can be used; empty for all.
        names: by its name for a tool, ours; without one it is called `NAME_TOOL`.
        effects: by its name for a tool, what it means to do it twice, where the server does not say it, or says it wrongly. Of the others
            the annotations decide: read-only is `none`; idempotent is `keyed`, as is one that takes `key_argument`; the rest is `unkeyed`.
        key_argument: the argument that takes the idempotency key; models do not see it. The key is in `_meta` of each call too.
        connect_limit_s: how long it may take to be there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    command: tuple[str, ...] = ()
    folder: Path | None = None
    environment: tuple[Variable, ...] = ()
    url: Annotated[str, Field(pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$")] | None = None
    headers: dict[str, Variable] = Field(default_factory=dict[str, str])
    tools: tuple[str, ...] = ()
    names: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]] = Field(default_factory=dict[str, str])
    effects: dict[str, Consequences] = Field(default_factory=dict[str, Consequences])
    key_argument: str = "idempotency_key"
    connect_limit_s: Annotated[float, Field(gt=0)] = 15.0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.command) == (self.url is not None):
            raise ValueError("an MCP server has either a command or a url")
        if self.headers and self.url is None:
            raise ValueError("headers go with a url: a command gets variables by environment")
        if (self.environment or self.folder) and not self.command:
            raise ValueError("environment and folder go with a command")
        return self
