"""Check: whether what was typed makes sense."""

from collections.abc import Mapping

from stretto.bus.subjects import check_token
from stretto.cli.errors import UsageFailed

__all__ = ["check_one_of", "check_usage"]


def check_usage(value: str, what: str) -> None:
    """Raises UsageFailed when `value` is no token; `what` says what it was to be."""
    try:
        check_token(value, what)
    except ValueError as error:
        raise UsageFailed(str(error)) from error


def check_one_of(options: Mapping[str, bool]) -> None:
    """Raises UsageFailed when several of these options are given that do not go together."""
    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise UsageFailed(f"{' and '.join(given)} do not go together: use one of them")
