"""What `stretto status` shows of the agents' models."""

from datetime import UTC, datetime, timedelta

from stretto.bus.agent_card import AgentCard, ModelHealth
from stretto.cli.health_view import health_data, health_rows

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CARD = AgentCard(
    role="writer",
    instance="writer-1",
    started_at=NOW,
    models=("a:1", "b:1", "offline"),
    health=(
        ModelHealth(
            model="a:1",
            state="open",
            last_success_at=NOW - timedelta(hours=2),
            last_failure_at=NOW - timedelta(seconds=8),
            last_failure="Overloaded",
        ),
        ModelHealth(model="b:1", state="unset", last_failure_at=NOW - timedelta(seconds=7), last_failure="KeyMissing"),
        ModelHealth(model="offline"),
    ),
)
SERVICE = AgentCard(role="memory", instance="memory-1", started_at=NOW)


def test_each_model_of_each_agent_has_a_line_in_the_order_of_its_chain() -> None:
    found = health_data([SERVICE, CARD])
    assert [(one["role"], one["agent"], one["model"], one["state"]) for one in found] == [
        ("writer", "writer-1", "a:1", "open"),
        ("writer", "writer-1", "b:1", "unset"),
        ("writer", "writer-1", "offline", "ready"),
    ]
    assert health_rows(found, NOW) == [
        ("a:1", "writer", "writer-1", "left alone: it failed again and again", "2 h ago", "Overloaded, 8 s ago"),
        ("b:1", "writer", "writer-1", "not set up", "", "KeyMissing, 7 s ago"),
        ("offline", "writer", "writer-1", "ready", "", ""),
    ]
