"""The planner agent: what its model is given, and what is known of a role."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel

from stretto.bus.agent_card import AgentCard
from stretto.shared.contracts.decision import RoleOffer
from stretto.shared.contracts.proposal import PlanProposal
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.offline.model import OfflineModel
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from stretto.supervisor.plan_check import PROPOSAL_BOUNDS, check_plan
from stretto.supervisor.planner import Planner, PlannerTask
from stretto.supervisor.roles import BUILT_IN_ROLES, offer_of
from tests.unit.agent_world import surroundings

PROPOSAL = PlanProposal(reason="one step", answer="only")


class OneReply:
    """A model that replies with `PROPOSAL` and keeps what it was given."""

    name = "one-reply"

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        self.instructions, self.question, self.documents = instructions, question, documents
        return Reply(output_type.model_validate(PROPOSAL.model_dump()), self.name, Usage(model_calls=1))


async def test_the_model_is_given_the_request_the_roles_and_the_problems() -> None:
    model = OneReply()
    task = PlannerTask(
        request="what?",
        roles=(RoleOffer(role="writer", description="Writes.", takes=("findings", "notes"), needs=("findings",)),),
        problems=("nothing uses the output of task a",),
        previous=PROPOSAL,
    )
    assert await Planner().handle(task, surroundings(model)) == PROPOSAL
    assert model.question == "what?"
    assert "You plan the work" in model.instructions
    assert [(one.kind, one.id, one.text) for one in model.documents if one.id != "example"] == [
        ("role", "writer", "Writes.\nInputs: findings (needed), notes."),
        ("text", "previous-plan", '{"reason":"one step","answer":"only"}'),
        ("note", "problem-1", "nothing uses the output of task a"),
    ]


async def test_what_the_offline_model_plans_keeps_the_rules() -> None:
    offers = {offer.role: offer for offer in BUILT_IN_ROLES}
    proposal = await Planner().handle(PlannerTask(request="what?", roles=BUILT_IN_ROLES), surroundings(OfflineModel()))
    assert {task.role for task in proposal.tasks} == offers.keys()
    assert check_plan(proposal.tasks, proposal.answer, offers, PROPOSAL_BOUNDS) == ()


class TranslateTask(BaseModel):
    request: str
    text: str
    language: str = "de"


def test_a_role_is_known_by_its_agents_card() -> None:
    card = AgentCard(
        role="translator",
        instance="t-1",
        description="Translates.",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        input_schema=TranslateTask.model_json_schema(),
    )
    expected = RoleOffer(role="translator", description="Translates.", takes=("text", "language"), needs=("text",))
    assert offer_of(card) == expected


def test_a_card_without_a_schema_says_nothing_about_inputs() -> None:
    card = AgentCard(role="mute", instance="m-1", started_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert offer_of(card) == RoleOffer(role="mute", description="")
