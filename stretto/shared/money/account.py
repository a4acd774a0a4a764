"""What calls do to an account. Pure: each function gives the account that follows.

Every change may be made again: the id of a reservation or of a raise tells whether it was made before. So whoever does not know whether
a write has arrived reads the account and makes its changes once more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from stretto.shared.contracts.account import UNITS, Account, Amounts, Reservation, Unit

__all__ = [
    "MOST_OPEN",
    "REMEMBERED",
    "Ask",
    "Granted",
    "Shortage",
    "lapse",
    "raise_limits",
    "renew",
    "reserve",
    "settle",
]

MOST_OPEN: Final = 1_000
"""So many calls may be in flight on one account: it is one message."""
REMEMBERED: Final = timedelta(hours=1)
"""A reservation that has lapsed is known for so long: whoever settles it by then is still counted."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a call may take.

    Attributes:
        fixed: in any case; each: for each token of its reply.
        output_tokens: so long the reply may get; least: a shorter one is of no use.
    """

    fixed: Amounts
    each: Amounts = field(default_factory=Amounts)
    output_tokens: int = 0
    least: int = 0

    def amounts(self, output_tokens: int) -> Amounts:
        """With a reply of this length."""
        each = self.each
        return self.fixed + Amounts(nanos=each.nanos * output_tokens, tokens=each.tokens * output_tokens)


@dataclass(frozen=True, slots=True)
class Granted:
    """The call may be made, with a reply of so many tokens at most."""

    output_tokens: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """The call may not be made (now).

    Attributes:
        unit: what is scarce; limit, spent: of it; needed: at least, by the call.
        retry_at: there would be enough if calls in flight took less than they may: when the first of them lapses. None: there is not.
    """

    unit: Unit
    limit: int
    spent: int
    needed: int
    retry_at: datetime | None = None


def reserve(account: Account, reservation: str, ask: Ask, *, until: datetime) -> tuple[Account, Granted | Shortage]:
    """Reserve what is asked for: all of it; or, where nothing is in flight that may give some back, as much as there is."""
    if reservation in account.open:
        tokens = account.open[reservation].amounts.tokens - ask.fixed.tokens
        return account, Granted(tokens // max(1, ask.each.tokens))
    fits, scarce = _fitting(account, ask, account.reserved)
    if len(account.open) >= MOST_OPEN:
        return account, _shortage(account, ask, scarce, wait=True)
    if fits < ask.output_tokens or fits < 0:
        alone, unit = _fitting(account, ask, Amounts())
        if alone < ask.least:
            return account, _shortage(account, ask, unit, wait=False)
        if alone > fits:
            return account, _shortage(account, ask, scarce, wait=True)
    granted = Reservation(amounts=ask.amounts(fits), until=until)
    lapsed = _without(account.lapsed, [reservation])
    return _with(account, open={**account.open, reservation: granted}, lapsed=lapsed), Granted(fits)


def settle(account: Account, reservation: str, took: Amounts) -> Account:
    """Count what a call took, once, and give the rest of its reservation back."""
    if reservation not in account.open and reservation not in account.lapsed:
        return account
    return _with(
        account,
        spent=account.spent + took,
        open=_without(account.open, [reservation]),
        lapsed=_without(account.lapsed, [reservation]),
    )


def renew(account: Account, reservations: Iterable[str], *, until: datetime) -> Account:
    """Keep what is reserved for calls that are still in flight, until then. What has lapsed meanwhile is reserved again: it is a fact."""
    known = {one: found for one in reservations if (found := account.open.get(one) or account.lapsed.get(one))}
    if not known:
        return account
    kept = {one: Reservation(amounts=found.amounts, until=until) for one, found in known.items()}
    return _with(account, open={**account.open, **kept}, lapsed=_without(account.lapsed, known))


def lapse(account: Account, *, now: datetime) -> Account:
    """Give back what is reserved for calls whose time is over: whoever made them is dead, or cannot reach the bus."""
    over = {one: kept for one, kept in account.open.items() if kept.until <= now}
    forgotten = [one for one, kept in account.lapsed.items() if kept.until <= now - REMEMBERED]
    if not over and not forgotten:
        return account
    lapsed = dict([*_without(account.lapsed, forgotten).items(), *over.items()][-MOST_OPEN // 2 :])
    return _with(account, open=_without(account.open, over), lapsed=lapsed)


def raise_limits(account: Account, reason: str, by: Amounts) -> Account:
    """Add to the limits, once for each `reason`."""
    return account if reason in account.raises else _with(account, raises={**account.raises, reason: by})


def _fitting(account: Account, ask: Ask, reserved: Amounts) -> tuple[int, Unit]:
    """How long a reply there is enough for (-1: not even for none), and what is scarce."""
    fits, scarce = ask.output_tokens, UNITS[0]
    for unit in UNITS:
        limit = account.limit(unit)
        if limit is None:
            continue
        room = limit - account.spent.of(unit) - reserved.of(unit) - ask.fixed.of(unit)
        each = ask.each.of(unit)
        tokens = -1 if room < 0 else room // each if each else ask.output_tokens
        if tokens < fits:
            fits, scarce = tokens, unit
    return fits, scarce


def _shortage(account: Account, ask: Ask, unit: Unit, *, wait: bool) -> Shortage:
    return Shortage(
        unit=unit,
        limit=account.limit(unit) or 0,
        spent=account.spent.of(unit),
        needed=ask.amounts(ask.least).of(unit),
        retry_at=min(one.until for one in account.open.values()) if wait else None,
    )


def _without(reservations: Mapping[str, Reservation], gone: Iterable[str]) -> dict[str, Reservation]:
    left = dict(reservations)
    for one in gone:
        left.pop(one, None)
    return left


def _with(account: Account, **changes: object) -> Account:
    return account.model_copy(update=changes)
