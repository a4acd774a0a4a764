"""TenantBudget: what all runs of one tenant may take in a day and in a month."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stretto.shared.contracts.budget import Budget

__all__ = ["Period", "TenantBudget"]

Period = Literal["day", "month"]
"""Of UTC, by the server's clock."""

_Usd = Annotated[float, Field(ge=0, le=1_000_000_000)] | None
_Count = Annotated[int, Field(ge=0)] | None


class TenantBudget(BaseModel):
    """Limits of one tenant; None where there is no limit. What they are about is as in `Budget`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    usd_per_day: _Usd = None
    usd_per_month: _Usd = None
    tokens_per_day: _Count = None
    tokens_per_month: _Count = None
    model_calls_per_day: _Count = None
    model_calls_per_month: _Count = None
    tool_calls_per_day: _Count = None
    tool_calls_per_month: _Count = None

    def per(self, period: Period) -> dict[str, Any]:
        """The limits of one period, by the names that `Budget` has for them."""
        return {
            name: value
            for name in Budget.model_fields
            if (value := getattr(self, f"{name}_per_{period}", None)) is not None
        }
