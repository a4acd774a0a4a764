"""What planners and playbooks know of the built-in roles is what the agents really take."""

import pytest
from pydantic import BaseModel

from stretto.agents.escalation import EscalationTask
from stretto.agents.researcher import ResearchTask
from stretto.agents.reviewer import ReviewTask
from stretto.agents.writer import WriteTask
from stretto.shared.contracts.decision import RoleOffer
from stretto.supervisor.roles import BUILT_IN_ROLES

INPUTS: dict[str, type[BaseModel]] = {
    "researcher": ResearchTask,
    "writer": WriteTask,
    "reviewer": ReviewTask,
    "escalation": EscalationTask,
}


@pytest.mark.parametrize("offer", BUILT_IN_ROLES, ids=lambda offer: offer.role)
def test_a_role_takes_what_its_agent_takes(offer: RoleOffer) -> None:
    fields = INPUTS[offer.role].model_fields
    assert set(offer.takes) == set(fields) - {"request"}
    assert set(offer.needs) == {name for name, field in fields.items() if field.is_required()} - {"request"}
