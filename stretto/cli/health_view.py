"""Health view: how the agents' models did lately, as each agent says of itself."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from stretto.bus.agent_card import AgentCard, ModelHealth
from stretto.cli.moments import since

__all__ = ["COLUMNS", "health_data", "health_rows"]

COLUMNS: Final = ("model", "role", "agent", "state", "last answer", "last failure")

_STATES: Final = {
    "ready": "ready",
    "open": "left alone: it failed again and again",
    "half_open": "being tried again",
    "unset": "not set up",
}


def health_data(cards: Iterable[AgentCard]) -> list[dict[str, Any]]:
    """One object for each model of each agent, in the order of its chain."""
    return [
        {"role": card.role, "agent": card.instance, **one.model_dump(mode="json")}
        for card in cards
        for one in card.health
    ]


def health_rows(found: Iterable[dict[str, Any]], now: datetime) -> list[tuple[str, ...]]:
    """The same as rows of a table."""
    rows: list[tuple[str, ...]] = []
    for data in found:
        one = ModelHealth.model_validate(data)
        failed = f"{one.last_failure}, {since(one.last_failure_at, now)}" if one.last_failure_at else ""
        answered = since(one.last_success_at, now) if one.last_success_at else ""
        rows.append((one.model, data["role"], data["agent"], _STATES[one.state], answered, failed))
    return rows
