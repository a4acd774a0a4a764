"""The roles that come with Stretto, and what planners and playbooks know of a role."""

from typing import Final

from pydantic import JsonValue

from stretto.bus.agent_card import AgentCard
from stretto.shared.contracts.decision import RoleOffer

__all__ = ["BUILT_IN_ROLES", "ESCALATION", "PLANNER", "offer_of"]

PLANNER: Final = "planner"
ESCALATION: Final = "escalation"

BUILT_IN_ROLES: Final[tuple[RoleOffer, ...]] = (
    RoleOffer(
        role="researcher",
        description="Searches the documents and returns findings: exact quotes, each with its source and place.",
        takes=("angle",),
    ),
    RoleOffer(
        role="writer",
        description="Writes a draft from findings, in which every claim cites what it rests on.",
        takes=("findings", "notes", "previous"),
        needs=("findings",),
    ),
    RoleOffer(
        role="reviewer",
        description="Checks a draft against its findings for grounding, style and completeness; approves it or sends it back.",
        takes=("draft", "findings"),
        needs=("draft", "findings"),
    ),
    RoleOffer(
        role=ESCALATION,
        description="Sums up what is open and has a person decide it. Runs when a reviewer does not approve.",
        takes=("previous", "notes", "findings"),
    ),
)


def offer_of(card: AgentCard) -> RoleOffer:
    """What an agent's announcement says about its role; `request` is left out, since every task has it."""
    return RoleOffer(
        role=card.role,
        description=card.description,
        takes=_names(list(_properties(card.input_schema))),
        needs=_names(card.input_schema.get("required")),
    )


def _properties(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(name for name in value if isinstance(name, str) and name != "request")  # pyright: ignore[reportUnknownVariableType]  # JSON
