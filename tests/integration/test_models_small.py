"""A real small model (SmolLM2, 135M) behind a real server (llama.cpp): a check of the wire, not of intelligence."""

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import pytest
from pydantic import BaseModel

from stretto.shared.models.errors import ContextOverflow, Truncated
from stretto.shared.models.protocol import Document
from stretto.shared.models.provider_settings import ProviderSettings
from stretto.shared.models.providers import Providers
from tests.integration.small_model import MISSING, WHY_SKIPPED, small_model

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=WHY_SKIPPED)]

DOCUMENT = Document(id="weather", text="The sun shines all day, and everybody is happy.")


class Mood(BaseModel):
    """A form that is so narrow that even a small model fills it, when the server holds it to the form."""

    happy: bool
    colour: Literal["red", "green", "blue"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with small_model() as address:
        yield address


@pytest.fixture
async def providers(address: str) -> AsyncIterator[Providers]:
    settings = ProviderSettings(base_url=f"{address}/v1", max_output_tokens=64)
    async with Providers({"llama": settings}, environment={}) as providers:
        yield providers


@pytest.mark.parametrize("stream", [False, True])
async def test_it_fills_the_form(providers: Providers, stream: bool) -> None:
    pieces: list[str] = []

    async def watch(piece: str) -> None:
        pieces.append(piece)

    model = providers.model("llama:smollm2")
    reply = await model.generate(
        Mood,
        instructions="Describe the mood of the document.",
        question="How is it?",
        documents=[DOCUMENT],
        on_text=watch if stream else None,
    )
    assert model.means(Mood) == "strict"
    assert reply.usage.model_calls == 1
    assert reply.usage.input_tokens > 50
    assert reply.usage.output_tokens > 5
    assert (len(pieces) > 5) is stream
    if stream:
        assert Mood.model_validate_json("".join(pieces)) == reply.output


async def test_a_reply_that_may_have_four_tokens_is_truncated(address: str) -> None:
    settings = ProviderSettings(base_url=f"{address}/v1", max_output_tokens=4)
    async with Providers({"llama": settings}, environment={}) as providers:
        with pytest.raises(Truncated) as caught:
            await providers.model("llama:smollm2").generate(Mood, instructions="Describe.", question="How is it?")
    assert caught.value.usage.output_tokens == 4


async def test_a_document_longer_than_its_context_is_an_overflow(providers: Providers) -> None:
    with pytest.raises(ContextOverflow):
        await providers.model("llama:smollm2").generate(
            Mood, instructions="Describe.", question="How is it?", documents=[Document(id="sea", text="waves " * 8_000)]
        )
