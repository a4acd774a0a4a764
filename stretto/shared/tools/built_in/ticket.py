"""Ticket: opens a ticket at a desk that takes them by a webhook."""

from collections.abc import Mapping

from pydantic import JsonValue

from stretto.shared.tools.built_in.webhook import Webhook
from stretto.shared.tools.protocol import Consequences

__all__ = ["Ticket"]


class Ticket:
    """Sends `title`, `body` and `priority` as JSON; what the desk answers is the result."""

    description = "Open a ticket, for people to settle what agents cannot."
    schema: Mapping[str, JsonValue] = {
        "type": "object",
        "properties": {
            "title": {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "description": "What it is about, in one line.",
            },
            "body": {"type": "string", "maxLength": 20_000, "description": "What somebody needs to know to settle it."},
            "priority": {"enum": ["low", "normal", "high"], "default": "normal"},
        },
        "required": ["title"],
        "additionalProperties": False,
    }
    output_schema: Mapping[str, JsonValue] | None = {"type": "object"}

    def __init__(self, *, name: str, webhook: Webhook) -> None:
        self.name = name
        self._webhook = webhook

    @property
    def effects(self) -> Consequences:
        return self._webhook.effects

    async def call(self, arguments: Mapping[str, JsonValue], *, key: str) -> JsonValue:
        """As `Tool.call`.

        Raises:
            ToolForbidden, ToolUnavailable: the desk refuses it, or is not reached.
        """
        return await self._webhook.post({"body": "", "priority": "normal", **arguments}, key=key)
