"""ticket: an escalation with a ticket at the desk, where the deployment gives its agent a tool called `ticket`."""

from typing import Final

from pydantic import JsonValue

from stretto.agents.context import TaskContext
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.tools.errors import ToolError

__all__ = ["TICKET", "with_ticket"]

TICKET: Final = "ticket"
"""What the tool is called. It takes a `title` and a `body`."""

_MAX_TITLE_CHARS: Final = 200
_MAX_BODY_CHARS: Final = 20_000
_MAX_NAME_CHARS: Final = 200
_NAMES: Final = ("number", "id", "key", "url")


async def with_ticket(made: Escalation, request: str, ctx: TaskContext) -> Escalation:
    """Open a ticket with all that the person gets to see; the escalation then names it.

    A desk that does not take it keeps nobody from deciding: that is one more open point.
    """
    body = "\n\n".join((made.summary, *(f"- {point}" for point in made.open_points)))
    title = " ".join(request.split()) or made.question
    try:
        opened = await ctx.tools.call(TICKET, {"title": title[:_MAX_TITLE_CHARS], "body": body[:_MAX_BODY_CHARS]})
    except ToolError as error:
        return made.model_copy(update={"open_points": (*made.open_points, f"No ticket could be opened: {error}")})
    name = _name_of(opened)
    await ctx.progress(f"opened a ticket: {name}")
    return made.model_copy(update={"summary": f"{made.summary} The ticket for it: {name}.", "ticket": name})


def _name_of(ticket: JsonValue) -> str:
    """What people call the ticket, from whatever the desk answered."""
    found = ticket
    if isinstance(ticket, dict):
        found = next((ticket[one] for one in _NAMES if ticket.get(one)), None)
    return str(found)[:_MAX_NAME_CHARS] if isinstance(found, str | int) else "without a number"
