"""Check: whether what was typed may stand in a subject."""

from stretto.bus.subjects import check_token
from stretto.cli.errors import UsageFailed

__all__ = ["check_usage"]


def check_usage(value: str, what: str) -> None:
    """Raises UsageFailed when `value` is no token; `what` says what it was to be."""
    try:
        check_token(value, what)
    except ValueError as error:
        raise UsageFailed(str(error)) from error
