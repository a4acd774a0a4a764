"""OfflineModel: deterministic extraction behind the model protocol: no key, no network, no language model.

It answers from the documents it is given, in their own sentences. It does not read `instructions`: it cannot follow any.
"""

from collections.abc import Sequence

from pydantic import BaseModel

from stretto.shared.contracts.draft import Draft
from stretto.shared.contracts.escalation import Escalation
from stretto.shared.contracts.findings import Quotes
from stretto.shared.contracts.proposal import PlanProposal
from stretto.shared.contracts.review import Review
from stretto.shared.contracts.usage import Usage
from stretto.shared.memory.errors import MemoryFailed
from stretto.shared.models.errors import BadReply, ModelUnavailable
from stretto.shared.models.exchange import Ask, Said, Shape
from stretto.shared.models.follow_up import with_subject
from stretto.shared.models.offline.draft import write_draft
from stretto.shared.models.offline.escalation import sum_up
from stretto.shared.models.offline.fields import fill_fields
from stretto.shared.models.offline.plan import propose_plan
from stretto.shared.models.offline.quotes import pick_quotes
from stretto.shared.models.offline.relevance import Embed
from stretto.shared.models.offline.review import judge_draft
from stretto.shared.models.protocol import Document, OnText, Output, Purse, Reply
from stretto.shared.models.words import content_stems
from stretto.shared.telemetry.capture import capture
from stretto.shared.telemetry.chat import HERE, Chat

__all__ = ["OfflineModel"]


class OfflineModel:
    """Extracts; never writes a sentence about the subject that is not in the documents.

    Args:
        embed: unit vectors of texts, for comparing by meaning as well as by words: the memory service's `embed`.
    """

    def __init__(self, *, embed: Embed | None = None) -> None:
        self._embed = embed
        self._chat = Chat(provider=HERE, model=self.name)

    @property
    def name(self) -> str:
        return "offline"

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
        """As `Model.generate`. The same call gives the same reply, as long as `embed` does.

        Raises:
            ModelUnavailable: `embed` does not answer now.
            CannotDo: there is no way to extract an `output_type`, or nothing to extract it from.
            BadReply: what was extracted breaks a rule of `output_type`.
        """
        said = Said()
        shape = Shape("text", output_type.__name__, {})
        with self._chat.request(Ask(instructions, question, documents, shape), said):
            reply = await self._reply(output_type, question, documents)
            said.usage, said.stop = reply.usage, "done"
            if capture():
                said.text = reply.output.model_dump_json()
        return reply

    async def _reply(self, output_type: type[Output], question: str, documents: Sequence[Document]) -> Reply[Output]:
        # What was said before is no source. It is looked at only where the question by itself finds nothing.
        sources = [one for one in documents if one.kind != "turn"]
        try:
            output, confidence = await self._extract(output_type, question, sources)
            meant = with_subject(question, (_request_of(one) for one in documents if one.kind == "turn"))
            if meant is not None and _says_nothing(output) and _knows_words(sources, question):
                output, confidence = await self._extract(output_type, meant, sources)
        except MemoryFailed as error:
            raise ModelUnavailable(f"offline cannot compare by meaning: {error}") from error
        if not isinstance(output, output_type):
            raise BadReply(f"offline made a {type(output).__name__} where {output_type.__name__} was asked for")
        return Reply(output=output, model=self.name, usage=Usage(model_calls=1), confidence=confidence)

    async def _extract(
        self, output_type: type[BaseModel], question: str, documents: Sequence[Document]
    ) -> tuple[BaseModel, float | None]:
        if output_type is Quotes:
            quotes = await pick_quotes(question, documents, embed=self._embed)
            return quotes, max((one.confidence for one in quotes.quotes), default=0.0)
        if output_type is Draft:
            draft = await write_draft(question, documents, embed=self._embed)
            return draft, draft.confidence
        if output_type is Review:
            review = await judge_draft(question, documents, embed=self._embed)
            return review, review.confidence
        if output_type is Escalation:
            return sum_up(question, documents), None
        if output_type is PlanProposal:
            return propose_plan(documents), None
        return await fill_fields(output_type, question, documents, embed=self._embed)


def _request_of(turn: Document) -> str:
    """What was asked in it: its first line says so."""
    return turn.text.partition("\n")[0].partition(": ")[2]


def _knows_words(sources: Sequence[Document], question: str) -> bool:
    """Whether they have all the question's content words: else what they say of its subject would not answer it."""
    return content_stems(question) <= content_stems(" ".join(one.text for one in sources))


def _says_nothing(output: BaseModel) -> bool:
    match output:
        case Quotes():
            return not output.quotes
        case Draft():
            return not output.answered
        case _:
            return False
