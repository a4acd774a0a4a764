"""document_text: documents and question as the texts that stand in a request's fields for data."""

import json
from typing import Any

from stretto.shared.models.exchange import Ask
from stretto.shared.models.protocol import Document

__all__ = ["as_json", "data_texts", "provenance"]


def data_texts(ask: Ask) -> list[str]:
    """One text a document, and the question: as JSON, out of which no document can break, unless there are no documents."""
    if not ask.documents:
        return [ask.question]
    texts = [as_json(one) for one in ask.documents]
    return [*texts, _dumps({"question": ask.question})] if ask.question else texts


def as_json(document: Document) -> str:
    """The document with all that is known of it."""
    return _dumps({"document": {**_facts(document), "text": document.text}})


def provenance(document: Document) -> str:
    """All that is known of the document but its text."""
    return _dumps(_facts(document))


def _facts(document: Document) -> dict[str, Any]:
    facts = {
        "id": document.id,
        "kind": document.kind,
        "source": document.source,
        "place": document.place,
        "refs": document.refs,
        "score": None if document.score is None else round(document.score, 3),
    }
    return {name: value for name, value in facts.items() if value not in ("", (), None)}


def _dumps(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
