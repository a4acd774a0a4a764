"""Output: what a command found, as a table for people or as JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from stretto.cli.terminal import printable

__all__ = ["write_json", "write_table"]


def write_json(data: Any) -> None:
    """One JSON value on stdout."""
    print(json.dumps(data, ensure_ascii=False, indent=2))  # noqa: T201 (the command's own output)


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout; without colours and cut lines where stdout is no terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console = Console(width=10_000)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    console.print(table)
