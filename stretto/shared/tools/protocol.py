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
        """How agents and models call it: 1 to 64 of letters, digits, `_` and `-`."""
        ...

    @property
    def description(self) -> str:
        """What it does and when it is of use, for the model that chooses among tools."""
        ...

    @property
    def schema(self) -> Mapping[str, JsonValue]:
        """JSON Schema of its arguments, an object. A call whose arguments do not fit is not made."""
        ...

    @property
    def output_schema(self) -> Mapping[str, JsonValue] | None:
        """JSON Schema of its result; None where it promises nothing."""
        ...

    @property
    def effects(self) -> Consequences:
        """`none` for one that only reads, or that may be called again without harm; `keyed` for one whose service does nothing twice under
        one idempotency key; `unkeyed` for all others: when it is not known whether a call happened, a person is asked."""
        ...

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        """Do it. What it raises is the call's outcome, and recorded as such: `ToolError` where its text is made for people and models.

        Args:
            arguments: they fit `schema`.
            key: the idempotency key: the same when this call is tried again, also by another attempt at the task.
        """
        ...
