"""fields: any output type whose required fields are texts, filled with the documents' own sentences."""

import types
from collections.abc import Sequence
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from stretto.shared.models.errors import BadReply, CannotDo
from stretto.shared.models.offline.plain import sentence_of
from stretto.shared.models.offline.quotes import subject_of
from stretto.shared.models.offline.relevance import Candidate, Embed, rank_candidates
from stretto.shared.models.offline.sentences import sentences_of
from stretto.shared.models.protocol import Document

__all__ = ["fill_fields"]

_SENTENCES_A_TEXT = 3
_ITEMS_A_LIST = 5


async def fill_fields(
    output_type: type[BaseModel], question: str, documents: Sequence[Document], *, embed: Embed | None = None
) -> tuple[BaseModel, float]:
    """An `output_type` and how well its sentences fit the question, 0 to 1.

    Required `str` fields get the three most relevant sentences in the documents' order, required lists of `str` the five most
    relevant. Fields with a default keep it.

    Raises:
        CannotDo: a required field is of another type, or there is no document to extract from.
        BadReply: what was extracted breaks a rule of the type.
    """
    wanted = {name: _kind(field.annotation) for name, field in output_type.model_fields.items() if field.is_required()}
    for name, kind in wanted.items():
        if kind is None:
            annotation = output_type.model_fields[name].annotation
            raise CannotDo(
                f"offline cannot fill {output_type.__name__}.{name}: it extracts text, and this is {annotation}"
            )
    if not wanted:
        return output_type.model_validate({}), 0.0
    sentences, confidence = await _best_sentences(question, documents, embed)
    if not sentences:
        raise CannotDo(f"offline has no document to fill {output_type.__name__}.{next(iter(wanted))} from")
    first = [text for _, text in sorted(sentences[:_SENTENCES_A_TEXT])]
    aliases = {name: output_type.model_fields[name].alias or name for name in wanted}
    values: dict[str, object] = {
        aliases[name]: " ".join(first) if kind == "text" else [text for _, text in sentences[:_ITEMS_A_LIST]]
        for name, kind in wanted.items()
    }
    try:
        return output_type.model_validate(values), confidence
    except ValidationError as error:
        where = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
        raise BadReply(f"what offline extracted breaks a rule of {output_type.__name__}: {where}") from error


async def _best_sentences(
    question: str, documents: Sequence[Document], embed: Embed | None
) -> tuple[list[tuple[int, str]], float]:
    """Sentences with their position over all documents, the most relevant first; without a question in their order."""
    spans = [(one, sentence) for one in documents for sentence in sentences_of(one.text)]
    texts = [sentence_of(sentence.of(one.text)) for one, sentence in spans]
    if not question.strip():
        return list(enumerate(dict.fromkeys(texts))), 0.5
    candidates = [
        Candidate(text, subject_of(one), f"{one.place} {one.source}", one.text, one.score, sentence.kind == "code")
        for text, (one, sentence) in zip(texts, spans, strict=True)
    ]
    ranked = await rank_candidates(question, candidates, embed=embed)
    seen: dict[str, int] = {}
    for one in ranked:
        seen.setdefault(texts[one.position], one.position)
    return [(position, text) for text, position in seen.items()], round(ranked[0].relevance, 3) if ranked else 0.0


def _kind(annotation: object) -> str | None:
    """`text`, `list`, or None for what cannot be extracted."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in (Union, types.UnionType):
        return next((kind for one in arguments if (kind := _kind(one))), None)
    if annotation is str:
        return "text"
    if (
        origin in (list, tuple, Sequence)
        and arguments
        and _kind(arguments[0]) == "text"
        and arguments[1:] in ((), (...,))
    ):
        return "list"
    return None
