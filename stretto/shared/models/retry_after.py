"""retry_after: how long a server asks us to wait, from its headers (RFC 9110, 10.2.3, and `retry-after-ms`)."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["retry_after_s"]

_LONGEST_S: Final = 86_400.0


def retry_after_s(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds from now, or None where the headers say nothing that makes sense. The names are in lower case."""
    wait_s = _number(headers.get("retry-after-ms"), scale=0.001)
    if wait_s is None:
        wait_s = _number(headers.get("retry-after"))
    if wait_s is None:
        wait_s = _until(headers.get("retry-after"), now or datetime.now(UTC))
    return wait_s if wait_s is not None and 0 <= wait_s <= _LONGEST_S else None


def _number(text: str | None, scale: float = 1.0) -> float | None:
    try:
        value = float(text or "") * scale
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _until(text: str | None, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())
