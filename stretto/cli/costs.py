"""costs: what runs cost, from their logs, by tenant, day, role, model or playbook."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from stretto.bus.artifacts import Artifacts
from stretto.bus.tenant_logs import TenantLogs
from stretto.bus.wire import Wire
from stretto.cli.cost_groups import By, Group, ordered
from stretto.cli.costs_view import show_groups, show_overview
from stretto.cli.errors import ExitCode, UsageFailed
from stretto.cli.letter_filter import point_in_time
from stretto.cli.output import write_json
from stretto.cli.running_system import open_log
from stretto.cli.terminal import say
from stretto.shared.costs import NOT_TOLD, Costs, has_price
from stretto.shared.money.price_book import PriceBook
from stretto.shared.settings import Settings

__all__ = ["Period", "period", "show_costs"]

_OVERVIEW: Final[tuple[By, ...]] = ("day", "model", "role", "playbook")
_EVERY_TENANT: Final = "*"
_LONG: Final = 2_000
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` on, and before `until`; None for no bound."""

    since: datetime | None = None
    until: datetime | None = None


def period(since: str | None, until: str | None, *, now: datetime | None = None) -> Period:
    """The time that is meant: `7d` ago, or a date; one that ends on a date ends with it.

    Raises:
        UsageFailed: it cannot be read, or ends before it begins.
    """
    at = now or datetime.now(UTC)
    begin = None if since is None else point_in_time(since, now=at)
    end = None
    if until is not None:
        try:
            end = point_in_time(until, now=at) + timedelta(days=1 if _DATE.fullmatch(until.strip()) else 0)
        except UsageFailed as error:
            raise UsageFailed(str(error).replace("since", "until", 1)) from error
    if begin is not None and end is not None and end <= begin:
        raise UsageFailed(f"until {until} is not after since {since}")
    return Period(begin, end)


async def show_costs(
    settings: Settings, *, by: By | None, span: Period, every_tenant: bool, as_json: bool, quiet: bool
) -> int:
    """What the runs of the tenant, or of all tenants, cost."""
    total = Group("all")
    groups: dict[By, dict[str, Group]] = {one: {} for one in ((by,) if by else _OVERVIEW)}
    book = PriceBook(settings.prices, providers=settings.providers)
    price_of = cache(book.price_of)
    tenant = _EVERY_TENANT if every_tenant else settings.tenant
    async with open_log(settings) as connection:
        deployment = settings.deployment
        wire = Wire(artifacts=Artifacts(connection=connection, subjects=deployment.subjects))
        logs = TenantLogs(connection=connection, deployment=deployment, wire=wire, tenant=tenant)
        with _Progress(shown=not quiet and sys.stderr.isatty()) as progress:
            async for one in Costs(logs=logs).read(since=span.since, until=span.until, progress=progress):
                known = has_price(one, price_of)
                total.add(one, known=known)
                for name, found in groups.items():
                    key: str = getattr(one, name)
                    found.setdefault(key, Group(key)).add(one, known=known)
    sorted_groups: dict[By, list[Group]] = {name: ordered(name, found.values()) for name, found in groups.items()}
    if as_json:
        write_json(_data(None if every_tenant else settings.tenant, span, total, sorted_groups))
        return ExitCode.OK
    if not total.runs:
        whose = "any tenant" if every_tenant else f"tenant {settings.tenant}"
        say(f"stretto: no run of {whose} has spent anything in that time")
        return ExitCode.OK
    if by is None:
        show_overview(total, sorted_groups)
    else:
        show_groups(by, sorted_groups[by], total)
    if total.unknown:
        say(f"\nNobody knew the price of {', '.join(sorted(total.unknown))}: that part is not in the sums.")
        lacking = [name for name in sorted(total.unknown - {NOT_TOLD}) if price_of(name) is None]
        if lacking:
            say("For the runs to come, write into stretto.toml:\n\n" + "\n\n".join(map(book.line_to_add, lacking)))
    return ExitCode.OK


def _data(tenant: str | None, span: Period, total: Group, groups: Mapping[By, Sequence[Group]]) -> dict[str, Any]:
    whole = total.data
    del whole["name"]
    return {
        "tenant": tenant,
        "since": span.since.isoformat() if span.since else None,
        "until": span.until.isoformat() if span.until else None,
        "total": whole,
        "by": {name: [one.data for one in found] for name, found in groups.items()},
    }


class _Progress(AbstractContextManager[Callable[[int, int], None]]):
    """A bar at stderr while much is read."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._stack = ExitStack()
        self._update: Callable[[int, int], None] | None = None

    def __enter__(self) -> Callable[[int, int], None]:
        return self._tell

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _tell(self, done: int, total: int) -> None:
        if not self._shown or total < _LONG:
            return
        if self._update is None:
            from rich.console import Console
            from rich.progress import Progress

            bar = self._stack.enter_context(Progress(console=Console(stderr=True), transient=True))
            task = bar.add_task("reading the runs' logs", total=total)
            self._update = lambda done, total: bar.update(task, completed=done, total=total)
        self._update(done, total)
