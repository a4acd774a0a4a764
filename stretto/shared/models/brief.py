"""Brief: what one call of a model is about, and the request that is made of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stretto.shared.models.exchange import Ask, Endpoint, Shape
from stretto.shared.models.protocol import Document, OnText, Purse, Round, ToolSpec
from stretto.shared.models.reply_text import Unfit
from stretto.shared.prompt import render_prompt

__all__ = ["Brief", "objection"]

_PACKAGE: Final = "stretto.shared.models"


@dataclass(frozen=True, slots=True, repr=False)
class Brief:
    """As the arguments of `ToolModel.take_turn`."""

    instructions: str
    question: str
    documents: Sequence[Document]
    tools: Sequence[ToolSpec] = ()
    rounds: Sequence[Round] = ()
    on_text: OnText | None = None
    purse: Purse | None = None

    def ask(self, shape: Shape, endpoint: Endpoint) -> Ask:
        """What is sent: the caller's instructions, and ours around them, in the one field; data in the others."""
        instructions = self.instructions
        if self.tools:
            instructions = render_prompt("tools", package=_PACKAGE, instructions=instructions)
        if self.documents:
            instructions = render_prompt(
                "documents", package=_PACKAGE, instructions=instructions, blocks=endpoint.document_blocks
            )
        # Also where the server enforces it: many models write better when they know what they are held to.
        if shape.means in ("object", "text") or endpoint.compatible:
            instructions = render_prompt(
                "schema",
                package=_PACKAGE,
                instructions=instructions,
                schema=_dumps(shape),
                tools=bool(self.tools),
            )
        question = self.question
        if not self.documents and not question:  # a request needs something to reply to
            instructions, question = "", instructions
        return Ask(
            instructions=instructions,
            question=question,
            documents=self.documents,
            shape=shape,
            tools=self.tools,
            rounds=self.rounds,
        )


def objection(unfit: Unfit, shape: Shape) -> str:
    """What is said to the model about a reply that does not fit."""
    return render_prompt("repair", package=_PACKAGE, problem=unfit.problem, schema=_dumps(shape))


def _dumps(shape: Shape) -> str:
    return json.dumps(shape.schema, ensure_ascii=False)
