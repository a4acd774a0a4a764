"""Account: what was spent of one budget, and what is reserved of it."""

from functools import reduce
from operator import add
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AwareDatetime, Field

from stretto.bus.message import Message, Value
from stretto.bus.subjects import Token

__all__ = ["NANOS", "UNITS", "Account", "AccountKind", "Amounts", "Limits", "Reservation", "Unit"]

AccountKind = Literal["run", "day", "month"]
Unit = Literal["nanos", "tokens", "model_calls", "tool_calls"]
UNITS: Final[tuple[Unit, ...]] = ("nanos", "tokens", "model_calls", "tool_calls")
NANOS: Final = 1_000_000_000
"""In one US dollar. Sums are kept in whole ones: floating point does not add up."""

_Count = Annotated[int, Field(ge=0)]
_Limit = _Count | None


class Amounts(Value):
    """So much of each unit; `nanos` are billionths of a US dollar."""

    nanos: _Count = 0
    tokens: _Count = 0
    model_calls: _Count = 0
    tool_calls: _Count = 0

    def of(self, unit: Unit) -> int:
        match unit:
            case "nanos":
                return self.nanos
            case "tokens":
                return self.tokens
            case "model_calls":
                return self.model_calls
            case "tool_calls":
                return self.tool_calls

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            nanos=self.nanos + other.nanos,
            tokens=self.tokens + other.tokens,
            model_calls=self.model_calls + other.model_calls,
            tool_calls=self.tool_calls + other.tool_calls,
        )


class Limits(Value):
    """At most so much of each unit; None where there is no limit."""

    nanos: _Limit = None
    tokens: _Limit = None
    model_calls: _Limit = None
    tool_calls: _Limit = None

    def of(self, unit: Unit) -> int | None:
        limit: int | None = getattr(self, unit)
        return limit


class Reservation(Value):
    """What one call in flight may take at most, and until when that is kept for it, by the server's clock."""

    amounts: Amounts
    until: AwareDatetime


class Account(Message):
    """The use of one budget. The newest message on its subject counts; each is written by compare-and-swap on the one before.

    Attributes:
        account: whose budget it is: a run's, or a tenant's of a day or a month.
        name: the run's id, the day (2026-01-31) or the month (2026-01).
        limits: of the budget itself; raises: what was added to them, by what it was done for, so that it is done once.
        spent: what all calls took that are settled.
        open: what is reserved for calls in flight, by reservation.
        lapsed: what was reserved and not settled in time: it is free again, but is counted if it is settled after all.
    """

    TYPE: ClassVar[str] = "ledger"
    PLACE: ClassVar[tuple[str, ...]] = ("account", "name")

    account: AccountKind
    name: Token
    limits: Limits = Limits()
    raises: dict[Token, Amounts] = Field(default_factory=dict)
    spent: Amounts = Amounts()
    open: dict[Token, Reservation] = Field(default_factory=dict)
    lapsed: dict[Token, Reservation] = Field(default_factory=dict)

    @property
    def reserved(self) -> Amounts:
        """What calls in flight may take at most."""
        return reduce(add, (one.amounts for one in self.open.values()), Amounts())

    def limit(self, unit: Unit) -> int | None:
        """The limit with what was added to it; None where there is none."""
        limit = self.limits.of(unit)
        return None if limit is None else limit + sum(one.of(unit) for one in self.raises.values())
