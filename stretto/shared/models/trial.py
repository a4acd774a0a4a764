"""Trial: one small call to a model, to see whether it answers, how fast, and what it can do."""

import time
from dataclasses import dataclass, field

from pydantic import BaseModel

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.errors import ModelError
from stretto.shared.models.exchange import Means
from stretto.shared.models.protocol import Document, Model
from stretto.shared.models.provider_model import ProviderModel
from stretto.shared.prompt import render_prompt

__all__ = ["Trial", "TrialReply", "try_model"]

_DOCUMENT = Document(
    id="terms", kind="passage", source="terms.md", text="Parcels leave on Mondays. A refund is paid within thirty days."
)


class TrialReply(BaseModel):
    """What is asked for."""

    quote: str
    document: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it.

    Attributes:
        error: the kind of the failure, and `reason` its text; None when the model answered in the form that was asked for.
        seconds: until the whole reply; first_text_s: until its first piece, where it was streamed.
        means: what held the reply to its form, for models of providers.
    """

    model: str
    error: str | None = None
    reason: str = ""
    seconds: float = 0.0
    first_text_s: float | None = None
    usage: Usage = field(default_factory=Usage)
    means: Means | None = None
    request_id: str | None = None


async def try_model(model: Model) -> Trial:
    """Call the model once."""
    began = time.monotonic()
    first_text_s: float | None = None

    async def on_text(_: str) -> None:
        nonlocal first_text_s
        if first_text_s is None:
            first_text_s = time.monotonic() - began

    try:
        reply = await model.generate(
            TrialReply,
            instructions=render_prompt("trial", package="stretto.shared.models"),
            question="How long does a refund take?",
            documents=[_DOCUMENT],
            on_text=on_text,
        )
    except ModelError as error:
        return Trial(
            model=model.name,
            error=type(error).__name__,
            reason=str(error),
            seconds=time.monotonic() - began,
            usage=error.usage,
            request_id=error.request_id,
        )
    return Trial(
        model=model.name,
        seconds=time.monotonic() - began,
        first_text_s=first_text_s,
        usage=reply.usage,
        means=model.means(TrialReply) if isinstance(model, ProviderModel) else None,
        request_id=reply.request_id,
    )
