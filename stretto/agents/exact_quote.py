"""exact_quote: a quote as it really stands in its passage, or the finding that it does not."""

import re

__all__ = ["find_exact"]


def find_exact(quote: str, passage: str) -> str | None:
    """The exact words of `passage` that `quote` gives, when the two differ in nothing but white space; else None."""
    words = quote.split()
    if not words:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), passage)
    return found[0] if found else None
