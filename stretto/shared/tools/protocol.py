"""Tool: something that an agent may call to read from, or act on, what lies outside of this system."""

from collections.abc import Mapping
from typing import Literal, Protocol

from pydantic import JsonValue

__all__ = ["Consequences", "Tool"]

Consequences = Literal["none", "keyed", "unkeyed"]
"""What it means to do something twice: nothing; nothing as long as the idempotency key is the same; or that it happens twice."""


class Tool(Protocol):
    """One tool."""

    @property
    def name(self) -> str:
        """How agents call it."""
        ...

    @property
    def effects(self) -> Consequences:
        """`none` for one that only reads, or that may be called again without harm; `keyed` for one whose service does nothing twice under
        one idempotency key; `unkeyed` for all others: when it is not known whether a call happened, a person is asked."""
        ...

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        """Do it. What it raises is the call's outcome, and recorded as such.

        Args:
            key: the idempotency key: the same when this call is tried again, also by another attempt at the task.
        """
        ...
