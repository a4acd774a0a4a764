"""Letter filter: which dead letters are meant, as people type it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from stretto.bus.dead_letter_office import LetterFilter
from stretto.bus.dead_letters import DeadKind
from stretto.cli.check import check_usage
from stretto.cli.errors import UsageFailed

__all__ = ["letter_filter", "point_in_time"]

_AGO: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def letter_filter(
    *,
    source: str | None,
    kind: DeadKind | None,
    tenant: str | None,
    since: str | None,
    settled: bool = False,
    now: datetime | None = None,
) -> LetterFilter:
    """Letters that match all that is given; `settled` ones too, if asked for.

    Raises:
        UsageFailed: one of them cannot be read.
    """
    if tenant is not None:
        check_usage(tenant, "tenant")
    return LetterFilter(
        source=(source or "").strip(".>"),
        kind=kind,
        tenant=tenant,
        since=None if since is None else point_in_time(since, now=now or datetime.now(UTC)),
        states=("open", "replaying", "replayed", "discarded") if settled else ("open", "replaying"),
    )


def point_in_time(text: str, *, now: datetime) -> datetime:
    """`90s`, `15m`, `2h` or `7d` before `now`, or an ISO date with or without a time (local time unless it says otherwise).

    Raises:
        UsageFailed: it is neither.
    """
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return now - timedelta(seconds=int(ago[1]) * _UNITS_S[ago[2]])
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageFailed(f"since {text[:40]!r} cannot be read: write 15m, 2h, 7d, or a date as 2026-01-31") from error
