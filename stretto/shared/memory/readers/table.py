"""Tables as lines of text, as Markdown writes them."""

from collections.abc import Sequence

__all__ = ["table_text"]


def table_text(rows: Sequence[Sequence[str]]) -> str:
    """One line a row, `| a | b |`, with a rule below the first; blank rows are left out."""
    filled = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    filled = [row for row in filled if any(row)]
    if not filled:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in filled]
    return "\n".join([lines[0], f"|{' --- |' * len(filled[0])}", *lines[1:]])
