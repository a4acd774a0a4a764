"""A whole question with a real small model in front of `offline`: a check of the way it takes, not of intelligence."""

from collections.abc import Iterator

import pytest

from stretto.agents.researcher import Researcher, ResearchTask
from stretto.agents.reviewer import Reviewer, ReviewTask
from stretto.agents.writer import Writer, WriteTask
from stretto.shared.contracts.step import ModelOutcome
from stretto.shared.models.breaker import Breakers
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.offline.model import OfflineModel
from stretto.shared.models.protocol import Model
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import Providers
from tests.integration.small_model import MISSING, WHY_SKIPPED, small_model
from tests.unit.agent_world import ListedSteps, ListMemory, record, surroundings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=WHY_SKIPPED)]

SMALL = "llama:smollm2"
QUESTION = "How are refunds paid?"
REFUNDS = record("r-1", "A refund is paid to the original method. Refunds take five days.")
CARDS = record("r-2", "Gift cards are replaced by a voucher.", place="Cards, line 5", ordinal=1)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with small_model() as address:
        yield address


async def test_a_question_goes_through_chain_and_specialists_and_whatever_it_says_is_held_to_the_documents(
    address: str,
) -> None:
    settings = ProviderSettings(base_url=f"{address}/v1", max_output_tokens=192, repairs=1)
    steps = ListedSteps()
    async with Providers({"llama": settings}, environment={}) as providers:

        def open_model(name: str) -> Model:
            return providers.model(name) if name == SMALL else OfflineModel()

        model = ModelChain((SMALL, "offline"), open_model=open_model, breakers=Breakers())
        ctx = surroundings(model, memory=ListMemory(REFUNDS, CARDS), task="all", steps=steps)
        found = await Researcher(rounds=2).handle(ResearchTask(request=QUESTION), ctx)
        draft = await Writer(outline_from=1).handle(WriteTask(request=QUESTION, findings=(found,)), ctx)
        review = await Reviewer().handle(ReviewTask(request=QUESTION, draft=draft, findings=(found,)), ctx)
    texts = {one.id: one.text for one in (REFUNDS, CARDS)}
    assert all(one.quote in texts[one.passage] for one in found.findings)
    known = {one.id for one in found.findings}
    assert all(claim.findings and set(claim.findings) <= known for claim in draft.claims)
    assert review.verdict == "approve" or review.notes
    outcomes = [ModelOutcome.model_validate(step.output) for step in steps.steps.values() if step.kind == "model"]
    answered = {outcome.model for outcome in outcomes} | {hop.model for outcome in outcomes for hop in outcome.hops}
    assert SMALL in answered
    assert all(outcome.prompt.startswith("agents/") for outcome in outcomes)
