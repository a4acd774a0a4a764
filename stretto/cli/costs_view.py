"""costs_view: what was spent, as a person reads it."""

from collections.abc import Mapping, Sequence
from typing import Final

from stretto.cli.cost_groups import By, Group
from stretto.cli.dollars import dollars
from stretto.cli.terminal import printable, show

__all__ = ["show_groups", "show_overview"]

_FEW: Final = 5
_DAYS: Final = 7
_BAR: Final = 12
_BLOCKS: Final = " ▏▎▍▌▋▊▉█"
_THOUSANDS: Final = ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k"))


def show_overview(total: Group, groups: Mapping[By, Sequence[Group]]) -> None:
    """One sentence, and the most of each kind."""
    usage = total.usage
    runs = f"{len(total.runs):,} run{'s' if len(total.runs) != 1 else ''}"
    show(
        f"{runs}: {_cost(total)} for {usage.model_calls:,} model calls, {_count(usage.input_tokens)} tokens read and "
        f"{_count(usage.output_tokens)} written; {usage.tool_calls:,} tool calls."
    )
    for by, found in groups.items():
        if by == "day":
            show_groups(by, found[-_DAYS:], None, left_out=found[:-_DAYS])
        else:
            show_groups(by, found[:_FEW], None, left_out=found[_FEW:])


def show_groups(by: By, groups: Sequence[Group], total: Group | None, *, left_out: Sequence[Group] = ()) -> None:
    """A row for each, with its share as a bar where there is a terminal; `total` below."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    bars = console.is_terminal
    if not bars:
        console = Console(width=10_000)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title_justify="left")
    table.add_column(by, overflow="fold")
    for name in ("runs", "calls", "read", "written"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("cost", justify="right", no_wrap=True)
    if bars:
        table.add_column("", width=_BAR, no_wrap=True)
    most = max((one.usage.cost_usd for one in (*groups, *left_out)), default=0.0)
    for one in groups:
        cells = _cells(one)
        table.add_row(*map(Text, cells), *([_bar(one.usage.cost_usd, most)] if bars else []))
    if total is not None and len(groups) > 1:
        table.add_row(*(Text(cell, style="bold") for cell in _cells(total)))
    console.print()
    console.print(table)
    if left_out:
        which = "earlier days" if by == "day" else "more"
        show(f"and {len(left_out)} {which}: stretto costs --by {by}")


def _cells(group: Group) -> tuple[str, ...]:
    usage = group.usage
    return (
        printable(group.name) or "(none)",
        f"{len(group.runs):,}",
        f"{usage.model_calls:,}",
        _count(usage.input_tokens),
        _count(usage.output_tokens),
        _cost(group),
    )


def _cost(group: Group) -> str:
    if not group.unknown:
        return dollars(group.usage.cost_usd)
    return f"{dollars(group.usage.cost_usd)} + ?" if group.usage.cost_usd else "unknown price"


def _count(number: int) -> str:
    for size, unit in _THOUSANDS:
        if number >= size:
            return f"{number / (1_000 if unit == 'k' else size):.1f}{unit}"
    return f"{number:,}"


def _bar(part: float, most: float) -> str:
    """In eighths of a character; a sliver for what is more than nothing."""
    eighths = round(part / most * _BAR * 8) if most else 0
    whole, rest = divmod(max(eighths, 1) if part else 0, 8)
    return ("█" * whole + _BLOCKS[rest]).rstrip()
