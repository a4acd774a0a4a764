"""StepModel: the model of an attempt. Each of its replies is a step."""

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import JsonValue

from stretto.agents.effects import Effects
from stretto.shared.contracts.step import ModelOutcome
from stretto.shared.models.protocol import Document, Model, Output, Reply

__all__ = ["StepModel"]


class StepModel:
    """The agent's model. A reply that was paid for once is not asked for again when the attempt is."""

    def __init__(self, model: Model, effects: Effects) -> None:
        self._model = model
        self._effects = effects

    @property
    def name(self) -> str:
        return self._model.name

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document | str] = (),
    ) -> Reply[Output]:
        """As `Model.generate`; a plain string is a document without a source."""
        given = [_document(position, one) for position, one in enumerate(documents)]
        replies: list[tuple[JsonValue, Reply[Output]]] = []

        async def call(_: str) -> JsonValue:
            reply = await self._model.generate(
                output_type, instructions=instructions, question=question, documents=given
            )
            outcome = ModelOutcome(
                output=reply.output.model_dump(mode="json"),
                model=reply.model,
                usage=reply.usage,
                confidence=reply.confidence,
                request_id=reply.request_id,
                hops=reply.hops,
            ).model_dump(mode="json")
            replies.append((outcome, reply))
            return outcome

        def parse(output: JsonValue) -> Reply[Output]:
            for outcome, reply in replies:
                if outcome == output:
                    return reply
            recorded = ModelOutcome.model_validate(output)
            return Reply(
                output=output_type.model_validate(recorded.output),
                model=recorded.model,
                usage=recorded.usage,
                confidence=recorded.confidence,
                request_id=recorded.request_id,
                hops=recorded.hops,
            )

        value: JsonValue = {
            "instructions": instructions,
            "question": question,
            "documents": [_told(one) for one in given],
        }
        return await self._effects.perform("model", output_type.__name__, value, call, parse)


def _document(position: int, one: Document | str) -> Document:
    return one if isinstance(one, Document) else Document(id=f"text-{position}", text=one)


def _told(document: Document) -> JsonValue:
    return {**asdict(document), "refs": list(document.refs)}
