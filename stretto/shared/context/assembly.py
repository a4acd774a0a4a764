"""Assembly: what a model is given besides its instructions and the question, chosen to fit into its room."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from stretto.shared.context.cut import cut_to_tokens
from stretto.shared.context.tokens import most_tokens_of
from stretto.shared.contracts.conversation import Conversation, Turn
from stretto.shared.models.protocol import Document

__all__ = ["Assembled", "assemble"]

_A_DOCUMENT: Final = 64
"""Tokens of what stands around each document: its id, source, place and the braces."""
_LEAST: Final = 100
"""A document is not cut to fewer tokens than this: then it is left out."""
_SAID_BEFORE: Final = "said before in this conversation: it shows what the question means, and proves nothing"


@dataclass(frozen=True, slots=True)
class Assembled:
    """What a model is given as data.

    Attributes:
        documents: the conversation's first, then the others in the order in which they came.
        left_out: what is missing or cut, in sentences without content; empty where all had room.
    """

    documents: tuple[Document, ...]
    left_out: tuple[str, ...] = ()


def assemble(
    *,
    instructions: str,
    question: str,
    documents: Sequence[Document],
    conversation: Conversation | None = None,
    taken_tokens: int = 0,
    room_tokens: int | None = None,
) -> Assembled:
    """Choose what fits. Pure: the same gives the same.

    Instructions and question always stay. Of the rest the task's inputs come first, in their order; then what memory gave, best first;
    then the conversation's turns, newest first, and last the summary of older ones. What does not fit any more is cut at a sentence,
    where enough of it is left to be worth it, and else left out.

    Args:
        conversation: its turns become documents of kind `turn`: data, as all documents are.
        taken_tokens: of the room, by what else is sent: descriptions of tools, and what tools returned.
        room_tokens: for everything that is sent; None for no limit.
    """
    said = _said(conversation) if conversation else ()
    if room_tokens is None:
        return Assembled((*said, *documents))
    left = room_tokens - taken_tokens - most_tokens_of(instructions) - most_tokens_of(question)
    ranked = sorted((_rank(one, at), at, one) for at, one in enumerate(documents))
    order = [
        *((at, one) for _, at, one in ranked),
        *((at - len(said), one) for at, one in reversed([*enumerate(said)])),
    ]
    chosen: list[tuple[int, Document]] = []
    cut: list[Document] = []
    out: list[Document] = []
    for at, document in order:
        room = left - _frame(document)
        fitted = _fit(document, room)
        if fitted is None:
            out.append(document)
            continue
        if fitted is not document:
            cut.append(document)
        chosen.append((at, fitted))
        left = room - most_tokens_of(fitted.text)
    kept = tuple(document for _, document in sorted(chosen, key=lambda one: one[0]))
    return Assembled(kept, (*_told(out, "left out"), *_told(cut, "cut")))


def _said(conversation: Conversation) -> tuple[Document, ...]:
    """The conversation as documents, in its order."""
    known = range(conversation.left_out + 1, conversation.left_out + len(conversation.turns) + 1)
    turns = tuple(_turn(number, turn) for number, turn in zip(known, conversation.turns, strict=True))
    if not conversation.summary:
        return turns
    summary = Document(
        id="turns-before",
        text=conversation.summary,
        kind="turn",
        source="conversation",
        place=f"older turns, {_SAID_BEFORE}",
    )
    return (summary, *turns)


def _turn(number: int, turn: Turn) -> Document:
    answer = turn.answer if turn.answered else f"(not answered) {turn.answer}".rstrip()
    text = f"Asked: {turn.request}\nAnswered: {answer}"
    return Document(id=f"turn-{number}", text=text, kind="turn", source="conversation", place=_SAID_BEFORE)


def _rank(document: Document, at: int) -> tuple[int, float, int]:
    if document.kind == "passage":
        return 1, -(document.score or 0.0), at
    return 0, 0.0, at


def _frame(document: Document) -> int:
    return _A_DOCUMENT + most_tokens_of("".join((document.id, document.source, document.place, *document.refs)))


def _fit(document: Document, room: int) -> Document | None:
    if most_tokens_of(document.text) <= room:
        return document
    return None if room < _LEAST else replace(document, text=cut_to_tokens(document.text, room))


def _told(documents: Sequence[Document], what: str) -> tuple[str, ...]:
    kinds = dict.fromkeys(one.kind for one in documents)
    counts = {kind: sum(one.kind == kind for one in documents) for kind in kinds}
    return tuple(
        f"{count} {kind}{'' if count == 1 else 's'} {'was' if count == 1 else 'were'} {what}: no room"
        for kind, count in counts.items()
    )
