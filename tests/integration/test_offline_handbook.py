"""The offline model on a small handbook in a real memory: what it answers, and what it declines."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from stretto.agents.researcher import Researcher, ResearchTask
from stretto.shared.contracts.findings import Findings
from stretto.shared.memory.embedder import MiniLM
from stretto.shared.memory.ingest import Ingest
from stretto.shared.memory.local import LocalMemory
from stretto.shared.memory.store import VectorStore
from stretto.shared.models.offline.model import OfflineModel
from tests.unit.agent_world import surroundings

FIXTURES = Path(__file__).parent.parent / "fixtures"
QUESTIONS = yaml.safe_load((FIXTURES / "handbook_questions.yaml").read_text())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def memory(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMemory]:
    embedder = MiniLM()
    directory = tmp_path_factory.mktemp("handbook")
    with VectorStore(directory, embedder=embedder.name, dimensions=embedder.dimensions) as store:
        memory = LocalMemory(tenant="acme", store=store, embedder=embedder)
        await Ingest(memory=memory, writer="me").run(FIXTURES / "handbook")
        yield memory


async def research(question: str, memory: LocalMemory, *, before: str | None = None) -> Findings:
    ctx = surroundings(OfflineModel(embed=memory.embed), memory=memory, before=before)
    return await Researcher().handle(ResearchTask(request=question), ctx)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("question", "words"), QUESTIONS["answerable"])
async def test_the_handbook_answers(question: str, words: str, memory: LocalMemory) -> None:
    found = await research(question, memory)
    assert any(words in " ".join(one.quote.split()) for one in found.findings[:2])
    for one in found.findings:
        text = (FIXTURES / one.source).read_text()
        assert " ".join(one.quote.split()) in " ".join(text.split())


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("question", QUESTIONS["unanswerable"])
async def test_what_the_handbook_does_not_say_is_declined(question: str, memory: LocalMemory) -> None:
    assert (await research(question, memory)).findings == ()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("before", "question", "words"), QUESTIONS["follow_ups"])
async def test_a_question_that_says_too_little_is_taken_with_the_one_before(
    before: str, question: str, words: str, memory: LocalMemory
) -> None:
    assert (await research(question, memory)).findings == ()
    found = await research(question, memory, before=before)
    assert words in " ".join(" ".join(one.quote.split()) for one in found.findings[:2])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("before", "question"), QUESTIONS["not_followed_up"])
async def test_what_was_asked_before_answers_no_other_question(before: str, question: str, memory: LocalMemory) -> None:
    assert (await research(question, memory, before=before)).findings == ()
