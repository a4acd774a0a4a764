"""Fault: what a provider's server or the way to it said went wrong, as one of our errors.

Nothing of a provider's message is passed on: it may echo the request, and with it content, or a part of the key. Of its codes only
those that look like one are.
"""

import re
from collections.abc import AsyncGenerator, Callable, Container, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from stretto.shared.models.errors import (
    CannotDo,
    ContextOverflow,
    ModelError,
    ModelUnavailable,
    NotConfigured,
    Overloaded,
    RateLimited,
    Refused,
    TimedOut,
)
from stretto.shared.models.retry_after import retry_after_s

__all__ = ["CONNECTION", "GARBLED", "TIMEOUT", "Fault", "ShapeRefused", "translated"]

_CODE: Final = re.compile(r"[a-z][a-z_]{1,47}")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")

_NO_KEY: Final = {"authentication_error", "invalid_api_key"}
_NOT_ALLOWED: Final = {"permission_error", "permission_denied"}
_NO_CREDIT: Final = {
    "billing_error",
    "billing_hard_limit_reached",
    "billing_not_active",
    "enforced_spend_limit_reached",
    "insufficient_quota",
}
_NOT_FOUND: Final = {"model_not_found", "not_found_error"}
_TOO_MANY: Final = {"rate_limit_error", "rate_limit_exceeded"}
_FULL: Final = {"overloaded_error", "engine_overloaded", "server_overloaded"}
_TOO_LATE: Final = {"timeout_error", "request_timeout"}
_TOO_LONG: Final = {
    "context_length_exceeded",
    "exceed_context_size_error",
    "request_too_large",
    "string_above_max_length",
}
_DECLINED: Final = {"bio_policy", "content_filter", "content_policy_violation", "misalignment_policy_violation"}
_TROUBLE: Final = {"api_error", "conflict_error", "internal_error", "server_error"}

_TOO_LONG_TEXT: Final = re.compile(
    r"context (length|window|size|limit)|prompt is too long|too many (input )?tokens|maximum number of tokens",
    re.IGNORECASE,
)
_TOO_LARGE_TEXT: Final = re.compile(r"request too large", re.IGNORECASE)
_SHAPE_TEXT: Final = re.compile(
    r"response_format|text\.format|output_config|output_format|schema|grammar|structured output", re.IGNORECASE
)
_SHAPE_FIELD: Final = re.compile(r"response_format|text\.format|output_config|output_format|grammar", re.IGNORECASE)
_TOOLS_TEXT: Final = re.compile(r"\btools?\b|tool[_-]|\bfunctions?\b|--jinja", re.IGNORECASE)
"""As in: does not support tools; "auto" tool choice requires --enable-auto-tool-choice; tools param requires --jinja flag."""


class ShapeRefused(ModelError):
    """The server does not take the schema, or this way of giving it one. Never leaves the package: another way is tried."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong.

    Attributes:
        status: of the HTTP response; None for an error inside a stream.
        codes: the provider's words for the kind of error.
        text: the provider's message: only ever looked into, never shown.
    """

    status: int | None = None
    codes: frozenset[str] = frozenset()
    text: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @classmethod
    def of(cls, status: int | None, body: object, headers: Mapping[str, str] | None = None) -> "Fault":
        """From an error as both providers write it: `{"error": {"type", "code", "message", "param"}}`, or what stands in it."""
        inner = _mapping(body)
        inner = _mapping(inner.get("error")) or inner
        words = [one for name in ("type", "code", "param") if isinstance(one := inner.get(name), str)]
        codes = frozenset(one for one in words if _CODE.fullmatch(one))
        return cls(status, codes, " ".join((*words, str(inner.get("message", body)))), headers or {})

    def error(self, name: str, *, shaped: bool, tools: bool = False) -> ModelError:
        """The error for the caller of the model `name`. With `shaped`, the request asked for a schema; with `tools`, it offered some."""
        found = self._error(name, shaped, tools)
        found.request_id = next(
            (
                one
                for header in ("request-id", "x-request-id")
                if (one := self.headers.get(header)) and _REQUEST_ID.fullmatch(one)
            ),
            None,
        )
        return found

    def _error(self, name: str, shaped: bool, tools: bool) -> ModelError:
        why = self._why()
        wait_s = retry_after_s(self.headers)
        if self._is((401,), _NO_KEY):
            return NotConfigured(f"{name} does not accept the key ({why}): set another one")
        if self._is((402,), _NO_CREDIT):
            return NotConfigured(f"{name} has no credit left ({why}): see the account's billing")
        if self._is((403,), _NOT_ALLOWED):
            return NotConfigured(f"{name} may not be used with this key ({why})")
        if self._is((404,), _NOT_FOUND) or self._redirected:
            return NotConfigured(f"{name} is not known at its address ({why}): see the model's name and the base URL")
        # More tokens than a minute allows: said like a rate limit, but no waiting helps.
        if self._is((413,), _TOO_LONG) or _TOO_LARGE_TEXT.search(self.text):
            return ContextOverflow(f"{name} cannot read so much at once ({why})")
        if self._is((429,), _TOO_MANY):
            return RateLimited(f"{name} takes no more from us for now ({why})", retry_after_s=wait_s)
        if self._client_error and _TOO_LONG_TEXT.search(self.text):
            return ContextOverflow(f"{name} cannot read so much at once ({why})")
        if self._is((503, 529), _FULL):
            return Overloaded(f"{name} has no room now ({why})", retry_after_s=wait_s)
        if self._is((408, 504), _TOO_LATE):
            return TimedOut(f"{name} gave up in time ({why})", retry_after_s=wait_s)
        if self is CONNECTION:
            return ModelUnavailable(f"{name} cannot be reached, or the connection broke: is its server running?")
        if self.codes & _DECLINED:
            return Refused(f"{name} declines to answer ({why})", category=next(iter(self.codes & _DECLINED)))
        refused = self._client_error or self.status in (500, 501)
        if refused and tools and _TOOLS_TEXT.search(self.text) and not (shaped and _SHAPE_FIELD.search(self.text)):
            return CannotDo(f"{name} takes no tools, or not these ({why}): name another model for this role")
        if refused and shaped and _SHAPE_TEXT.search(self.text):
            return ShapeRefused(f"{name} does not take the schema ({why})")
        if self.status is None or self._is((409,), _TROUBLE) or self.status >= 500 or self.status < 400:
            return ModelUnavailable(f"{name} is in trouble ({why})", retry_after_s=wait_s)
        return CannotDo(f"{name} does not take the request ({why})")

    @property
    def _client_error(self) -> bool:
        return self.status is None or self.status < 500

    @property
    def _redirected(self) -> bool:
        return self.status is not None and 300 <= self.status < 400

    def _is(self, statuses: Container[int | None], codes: set[str]) -> bool:
        return self.status in statuses or bool(self.codes & codes)

    def _why(self) -> str:
        return " ".join([str(self.status)] * (self.status is not None) + sorted(self.codes)) or "no reason given"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]  # what a server sent


CONNECTION: Final = Fault(codes=frozenset({"connection_error"}))
"""The server cannot be reached, or the connection broke."""

TIMEOUT: Final = Fault(codes=frozenset({"timeout_error"}))
"""Nothing came for too long."""

GARBLED: Final = Fault(codes=frozenset({"garbled_reply"}))
"""What came is not of the protocol, or ends before its end."""


async def translated(
    pieces: AsyncGenerator[str],
    *,
    errors: tuple[type[Exception], ...],
    fault_of: Callable[[Exception], Fault],
    name: str,
    shaped: bool,
    tools: bool,
) -> AsyncGenerator[str]:
    """The pieces; `errors` that come instead become errors of ours.

    Raises:
        ModelError: see `Fault.error`.
    """
    fault: Fault | None = None
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
    except errors as error:
        fault = fault_of(error)
    if fault:
        # Raised out here, so that no error of an SDK hangs on it as its context: those hold the request, and with it the key.
        raise fault.error(name, shaped=shaped, tools=tools)
