"""input: what is asked, as messages of Anthropic's API."""

from anthropic.types import ContentBlockParam, MessageParam, ToolResultBlockParam

from stretto.shared.models.document_text import as_json, data_texts, provenance
from stretto.shared.models.exchange import Ask
from stretto.shared.models.protocol import Document, Round

__all__ = ["messages_of"]


def messages_of(ask: Ask, *, blocks: bool) -> list[MessageParam]:
    """The exchange so far; the last message is the user's, but for a reply that is to be gone on with.

    Args:
        blocks: documents go as document blocks, not as JSON.
    """
    content: list[ContentBlockParam]
    if blocks:
        content = [_block(one) for one in ask.documents]
        if ask.question:
            content.append({"type": "text", "text": ask.question})
    else:
        content = [{"type": "text", "text": one} for one in data_texts(ask)]
    messages: list[MessageParam] = [{"role": "user", "content": content}]
    for one in ask.rounds:
        messages += _round(one)
    for turn in ask.turns:
        messages.append({"role": "assistant", "content": turn.reply.strip() or "{}"})
        messages.append({"role": "user", "content": turn.objection})
    if ask.begun:
        messages.append({"role": "assistant", "content": ask.begun})
    return messages


def _round(one: Round) -> list[MessageParam]:
    said: list[ContentBlockParam] = [{"type": "text", "text": one.text}] if one.text.strip() else []
    calls: list[ContentBlockParam] = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": {**(call.arguments or {})}}
        for call in one.calls
    ]
    # All outcomes in one message: models that get them one by one learn to ask for one at a time.
    results: list[ToolResultBlockParam] = [
        {"type": "tool_result", "tool_use_id": outcome.call, "content": outcome.text, "is_error": outcome.failed}
        for outcome in one.outcomes
    ]
    return [{"role": "assistant", "content": [*said, *calls]}, {"role": "user", "content": results}]


def _block(document: Document) -> ContentBlockParam:
    if not document.text.strip():  # the API takes no empty block
        return {"type": "text", "text": as_json(document)}
    return {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": document.text},
        "title": document.id,
        "context": provenance(document),
    }
