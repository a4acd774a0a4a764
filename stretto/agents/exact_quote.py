"""exact_quote: where a quote really stands in its passage, if it does."""

import re

__all__ = ["find_exact"]


def find_exact(quote: str, passage: str) -> tuple[int, str] | None:
    """Where the quote begins in `passage`, and its exact words there, if the two differ in nothing but white space; else None."""
    words = quote.split()
    if not words:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), passage)
    return (found.start(), found[0]) if found else None
