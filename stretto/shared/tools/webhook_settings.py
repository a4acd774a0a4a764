"""WebhookSettings: an address that takes what a tool sends."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Variable", "WebhookSettings"]

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
"""The name of an environment variable: secrets stand in the environment, never in settings."""


class WebhookSettings(BaseModel):
    """A webhook.

    Attributes:
        url: the address; or `url_variable`: the environment variable that holds it, where the address itself is a secret.
        headers: by header, the environment variable that holds its value.
        idempotent: it does nothing twice under one `Idempotency-Key`. If it does not look at that header, say false: a person is asked then
            when nobody knows whether a call came through.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: Annotated[str, Field(pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$")] | None = None
    url_variable: Variable | None = None
    headers: dict[str, Variable] = Field(default_factory=dict[str, str])
    idempotent: bool = True

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.url and self.url_variable:
            raise ValueError("a webhook has either a url or a url_variable")
        return self
