"""AnthropicMessages: a model behind Anthropic's messages API, or a server that speaks it."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

import anthropic
import httpx2
from anthropic.types import (
    Message,
    MessageDeltaUsage,
    OutputConfigParam,
    RawMessageStreamEvent,
    RefusalStopDetails,
    ToolParam,
)
from anthropic.types import Usage as TheirUsage

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.anthropic.input import messages_of
from stretto.shared.models.call_text import arguments_of
from stretto.shared.models.exchange import Ask, Means, Said, Stop
from stretto.shared.models.fault import CONNECTION, GARBLED, TIMEOUT, Fault, translated
from stretto.shared.models.garbled import UNREADABLE, Garbled, count, reading, word
from stretto.shared.models.protocol import ToolCall

__all__ = ["AnthropicMessages"]

_STOPS: Final[dict[str, Stop]] = {
    "pause_turn": "paused",
    "max_tokens": "length",
    "refusal": "refused",
    "model_context_window_exceeded": "overflow",
}
_MAX_OUTPUT_TOKENS: Final = 16_384
"""The API wants a limit; every current model can write so much."""


@dataclass(slots=True, repr=False)
class _CallParts:
    """A tool call of a stream, whose arguments come in pieces of JSON text."""

    id: str
    name: str
    given: object
    arguments: str = ""

    def call(self) -> ToolCall:
        return ToolCall(id=self.id, name=self.name, arguments=arguments_of(self.arguments or self.given))


class AnthropicMessages:
    """As `Endpoint`. Documents go as document blocks; at a compatible server, which may lack those, as JSON."""

    means: tuple[Means, ...] = ("strict", "text")

    def __init__(
        self,
        client: anthropic.AsyncAnthropic,
        *,
        name: str,
        model: str,
        compatible: bool,
        max_output_tokens: int | None,
        stream_timeout: httpx2.Timeout,
        headers: Mapping[str, str | anthropic.Omit] | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._model = model
        self.compatible = compatible
        self.document_blocks = not compatible
        self.max_output_tokens: int | None = max_output_tokens or _MAX_OUTPUT_TOKENS
        self._stream_timeout = stream_timeout
        self._headers = headers

    def call(self, ask: Ask, said: Said, *, stream: bool) -> AsyncGenerator[str]:
        """As `Endpoint.call`."""
        return translated(
            self._stream(ask, said) if stream else self._whole(ask, said),
            errors=(anthropic.AnthropicError, httpx2.HTTPError, *UNREADABLE),
            fault_of=_fault,
            name=self._name,
            shaped=ask.shape.means != "text",
            tools=bool(ask.tools),
        )

    async def _whole(self, ask: Ask, said: Said) -> AsyncGenerator[str]:
        response = await self._client.messages.with_raw_response.create(
            model=self._model,
            max_tokens=ask.output_tokens or self.max_output_tokens or _MAX_OUTPUT_TOKENS,
            system=ask.instructions or anthropic.omit,
            messages=messages_of(ask, blocks=self.document_blocks),
            tools=_tools(ask),
            output_config=_output_config(ask),
            extra_headers=self._headers,
        )
        said.usage = Usage(model_calls=1)
        said.request_id = response.headers.get("request-id")
        message = await response.parse()
        with reading():
            _read(message, said)
        yield said.text

    async def _stream(self, ask: Ask, said: Said) -> AsyncGenerator[str]:
        events = await self._client.messages.create(
            model=self._model,
            max_tokens=ask.output_tokens or self.max_output_tokens or _MAX_OUTPUT_TOKENS,
            system=ask.instructions or anthropic.omit,
            messages=messages_of(ask, blocks=self.document_blocks),
            tools=_tools(ask),
            output_config=_output_config(ask),
            stream=True,
            timeout=self._stream_timeout,
            extra_headers=self._headers,
        )
        counts: dict[str, int] = {}
        calls: dict[int, _CallParts] = {}
        async with events:
            said.usage = Usage(model_calls=1)
            said.request_id = events.response.headers.get("request-id")
            async for event in events:
                with reading():
                    piece = _take(event, said, counts, calls)
                if piece:
                    said.text += piece
                    yield piece
        if said.stop is None:
            raise Garbled("the stream ended before the reply did")
        with reading():
            said.calls = [one.call() for _, one in sorted(calls.items())]


def _tools(ask: Ask) -> list[ToolParam] | anthropic.Omit:
    if not ask.tools:
        return anthropic.omit
    return [{"name": one.name, "description": one.description, "input_schema": {**one.schema}} for one in ask.tools]


def _output_config(ask: Ask) -> OutputConfigParam | anthropic.Omit:
    if ask.shape.means == "text":
        return anthropic.omit
    return {"format": {"type": "json_schema", "schema": ask.shape.schema}}


def _read(message: Message, said: Said) -> None:
    said.usage = _usage(_counts(message.usage))
    said.model, said.response_id = word(message, "model"), word(message, "id")
    said.text = "".join(block.text for block in message.content if block.type == "text")
    said.calls = [
        ToolCall(id=block.id, name=block.name, arguments=arguments_of(block.input))
        for block in message.content
        if block.type == "tool_use"
    ]
    _stop(message.stop_reason, message.stop_details, said)


def _take(event: RawMessageStreamEvent, said: Said, counts: dict[str, int], calls: dict[int, _CallParts]) -> str:
    """Take in one event of a stream; return its piece of the text."""
    if event.type == "message_start":
        counts |= _counts(event.message.usage)
        said.usage = _usage(counts)
        said.model, said.response_id = word(event.message, "model"), word(event.message, "id")
    elif event.type == "content_block_delta" and event.delta.type == "text_delta":
        return event.delta.text
    elif event.type == "content_block_start" and event.content_block.type == "tool_use":
        block = event.content_block
        calls[event.index] = _CallParts(block.id, block.name, block.input)
    elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
        calls[event.index].arguments += event.delta.partial_json
    elif event.type == "message_delta":
        counts |= _counts(event.usage)
        said.usage = _usage(counts)
        _stop(event.delta.stop_reason, event.delta.stop_details, said)
    return ""


def _stop(reason: str | None, details: RefusalStopDetails | None, said: Said) -> None:
    if reason is None:
        return
    said.stop = _STOPS.get(reason, "done")
    if said.stop == "refused" and details:
        said.category = details.category


def _counts(theirs: TheirUsage | MessageDeltaUsage) -> dict[str, int]:
    """The numbers that are given: those of a later event stand in for earlier ones."""
    details = theirs.output_tokens_details
    given = {
        "fresh": theirs.input_tokens,
        "read": theirs.cache_read_input_tokens,
        "written": theirs.cache_creation_input_tokens,
        "output": theirs.output_tokens,
        "reasoning": details.thinking_tokens if details else None,
    }
    return {name: count(one) for name, one in given.items() if one is not None}


def _usage(counts: dict[str, int]) -> Usage:
    read = counts.get("read", 0)
    return Usage(
        model_calls=1,
        # The API's own number of input tokens leaves out those that were read from the cache or written to it.
        input_tokens=counts.get("fresh", 0) + read + counts.get("written", 0),
        cached_input_tokens=read,
        output_tokens=counts.get("output", 0),
        reasoning_tokens=counts.get("reasoning", 0),
    )


def _fault(error: Exception) -> Fault:
    match error:
        case anthropic.APIStatusError():
            return Fault.of(error.status_code, error.body, error.response.headers)
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return TIMEOUT
        case anthropic.APIConnectionError() | httpx2.HTTPError():
            return CONNECTION
        case _:
            return GARBLED
