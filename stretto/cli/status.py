"""Status: the running system at a glance."""

from datetime import UTC, datetime
from typing import Any, Final

from stretto.bus.agent_card import AgentCard
from stretto.bus.connection import Connection
from stretto.bus.errors import BusError, StreamMissing
from stretto.bus.streams import Deployment, agents_consumer, deployment_streams
from stretto.cli.dead_system import letter_office
from stretto.cli.documents import memory_client
from stretto.cli.health_view import COLUMNS, health_data, health_rows
from stretto.cli.output import write_json, write_table
from stretto.cli.roll import call_roll
from stretto.cli.running_system import connect_to_running
from stretto.shared.memory.errors import MemoryFailed
from stretto.shared.memory.service import MEMORY_ROLE
from stretto.shared.requester import requester_on
from stretto.shared.settings import Settings
from stretto.supervisor.loop import SUPERVISOR_ROLE

__all__ = ["agent_list", "status"]

_SERVICES: Final = {SUPERVISOR_ROLE, MEMORY_ROLE}


async def status(settings: Settings, *, as_json: bool) -> int:
    """Server, roles, queues, models, streams and memory of the running system."""
    async with connect_to_running(settings, name="status") as (connection, url):
        cards = await call_roll(connection, settings.deployment.subjects)
        queues = await _queues(connection, settings.deployment, cards)
        data: dict[str, Any] = {
            "server": {"url": url, "version": connection.server_version},
            "prefix": settings.prefix,
            "open_questions": await _open_questions(settings, connection),
            "open_runs": sum(card.busy for card in cards if card.role == SUPERVISOR_ROLE),
            "roles": {role: _role(role, cards, queues) for role in sorted({*queues, *(card.role for card in cards)})},
            "models": health_data(cards),
            "streams": [await _stream(connection, spec.name) for spec in deployment_streams(settings.deployment)],
            "dead_letters": await _dead_letters(settings, connection),
            "memory": await _memory(settings, connection, cards),
        }
    if as_json:
        write_json(data)
    else:
        _show(data, settings.tenant)
    return 0


async def agent_list(settings: Settings, *, as_json: bool) -> int:
    """Every agent that announces itself."""
    async with connect_to_running(settings, name="agents") as (connection, _):
        cards = [
            card for card in await call_roll(connection, settings.deployment.subjects) if card.role not in _SERVICES
        ]
    if as_json:
        write_json({"agents": [card.model_dump(mode="json", exclude={"leaving"}) for card in cards]})
    else:
        write_table(
            ("role", "agent", "busy", "model", "since", "description"),
            (
                (
                    card.role,
                    card.instance,
                    f"{card.busy} of {card.slots}",
                    ", ".join(card.models),
                    f"{card.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
                    card.description,
                )
                for card in cards
            ),
        )
    return 0


def _role(role: str, cards: list[AgentCard], queues: dict[str, dict[str, int]]) -> dict[str, Any]:
    return {
        "instances": [card.instance for card in cards if card.role == role],
        "busy": sum(card.busy for card in cards if card.role == role),
        **queues.get(role, {}),
    }


async def _queues(connection: Connection, deployment: Deployment, cards: list[AgentCard]) -> dict[str, dict[str, int]]:
    """Tasks by role: those that wait for an agent, and those that one has."""
    head = deployment.subjects.stream("TASKS_")
    names = await connection.jetstream.api("STREAM.NAMES")
    roles = {name.removeprefix(head) for name in names.get("streams") or () if name.startswith(head)}
    queues: dict[str, dict[str, int]] = {}
    for role in sorted(roles | {card.role for card in cards} - _SERVICES):
        found = await connection.jetstream.api(
            f"CONSUMER.INFO.{deployment.subjects.tasks_stream(role)}.{agents_consumer(deployment)}"
        )
        if "error" not in found:
            queues[role] = {"waiting": int(found["num_pending"]), "in_work": int(found["num_ack_pending"])}
    return queues


async def _stream(connection: Connection, name: str) -> dict[str, Any]:
    found = await connection.jetstream.api(f"STREAM.INFO.{name}")
    if "error" in found:
        return {"name": name, "problem": str(found["error"].get("description"))}
    return {"name": name, "messages": int(found["state"]["messages"]), "bytes": int(found["state"]["bytes"])}


async def _open_questions(settings: Settings, connection: Connection) -> int | None:
    """How many wait for a person of the tenant; None while there are no streams."""
    try:
        return await requester_on(connection, settings).count_questions()
    except StreamMissing:
        return None


async def _dead_letters(settings: Settings, connection: Connection) -> int | None:
    """How many are not settled; None while there are no streams."""
    try:
        return await letter_office(settings, connection).unsettled()
    except StreamMissing:
        return None


async def _memory(settings: Settings, connection: Connection, cards: list[AgentCard]) -> dict[str, Any]:
    if not any(card.role == MEMORY_ROLE for card in cards):
        return {"problem": "nobody serves it"}
    try:
        stats = await memory_client(settings, connection).stats()
    except (MemoryFailed, BusError) as error:
        return {"problem": str(error)}
    return {
        "tenant": settings.tenant,
        "documents": stats.sources,
        "passages": stats.records,
        "embedder": stats.embedder,
    }


def _show(data: dict[str, Any], tenant: str) -> None:
    memory = data["memory"]
    write_table(
        ("", ""),
        (
            ("server", f"{data['server']['url']}, nats-server {data['server']['version']}, prefix {data['prefix']}"),
            ("open runs", data["open_runs"]),
            (
                "questions",
                f"{data['open_questions']} open of tenant {tenant}: stretto inbox list"
                if data["open_questions"]
                else "none",
            ),
            (
                "dead letters",
                f"{data['dead_letters']} unsettled: stretto dead list" if data["dead_letters"] else "none",
            ),
            (
                "memory",
                memory.get("problem")
                or f"{memory['documents']} documents, {memory['passages']} passages of tenant {memory['tenant']}",
            ),
        ),
    )
    write_table(
        ("role", "alive", "busy", "waiting", "in work", "instances"),
        (
            (
                role,
                len(one["instances"]),
                one["busy"],
                one.get("waiting", ""),
                one.get("in_work", ""),
                ", ".join(one["instances"]) or "nobody",
            )
            for role, one in data["roles"].items()
        ),
    )
    if data["models"]:
        write_table(COLUMNS, health_rows(data["models"], datetime.now(UTC)))
    write_table(
        ("stream", "messages", "size"),
        (
            (
                one["name"],
                one.get("messages", one.get("problem")),
                f"{one['bytes'] / 1e6:.1f} MB" if "bytes" in one else "",
            )
            for one in data["streams"]
        ),
    )
