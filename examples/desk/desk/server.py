"""server: the desk as an MCP server, on standard input and output or over HTTP, with a webhook beside it."""

from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from desk.store import KeyUsed, Priority, Store, Ticket, TicketUnknown

__all__ = ["make_server"]

Key = Annotated[str, Field(min_length=1, max_length=200, description="Asking twice under one key does it once.")]
Title = Annotated[str, Field(min_length=1, max_length=200, description="What it is about, in one line.")]
Body = Annotated[str, Field(max_length=20_000, description="What somebody needs to know to settle it.")]


class NewTicket(BaseModel):
    """What the webhook takes."""

    title: Title
    body: Body = ""
    priority: Priority = "normal"


class Tickets(BaseModel):
    """Several tickets."""

    tickets: list[Ticket]


def make_server(store: Store) -> MCPServer:
    """The desk's four tools, and `POST /tickets` for those who speak no MCP."""
    server = MCPServer("desk", instructions="A desk of tickets for the support team.")
    reads = ToolAnnotations(read_only_hint=True)
    writes = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True)

    @server.tool(annotations=writes)
    def create_ticket(title: Title, idempotency_key: Key, body: Body = "", priority: Priority = "normal") -> Ticket:
        """Open a ticket for the support team."""
        try:
            return store.create(title, body, priority=priority, key=idempotency_key)
        except KeyUsed as error:
            raise ToolError(str(error)) from error

    @server.tool(annotations=reads)
    def get_ticket(number: int) -> Ticket:
        """A ticket with its notes."""
        try:
            return store.get(number)
        except TicketUnknown as error:
            raise ToolError(str(error)) from error

    @server.tool(annotations=reads)
    def list_tickets(at_most: Annotated[int, Field(ge=1, le=100)] = 20) -> Tickets:
        """The newest tickets."""
        return Tickets(tickets=store.newest(at_most))

    @server.tool(annotations=writes)
    def add_note(number: int, text: Body, idempotency_key: Key) -> Ticket:
        """Add a note to a ticket."""
        try:
            return store.add_note(number, text, key=idempotency_key)
        except (TicketUnknown, KeyUsed) as error:
            raise ToolError(str(error)) from error

    @server.custom_route("/tickets", methods=["POST"])  # type: ignore[untyped-decorator]  # as the SDK has it
    async def webhook(request: Request) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return JSONResponse({"error": "the header Idempotency-Key is missing"}, status_code=400)
        try:
            asked = NewTicket.model_validate_json(await request.body())
            ticket = store.create(asked.title, asked.body, priority=asked.priority, key=key)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()) or "the body"
            return JSONResponse({"error": f"that is no ticket: see {fields}"}, status_code=422)
        except KeyUsed as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        return JSONResponse(ticket.model_dump(mode="json"), status_code=201)

    return server
