"""OpenAIResponses: a model behind OpenAI's own API, responses."""

from collections.abc import AsyncGenerator, Mapping
from typing import Final

import httpx2
import openai
from openai.types.responses import (
    EasyInputMessageParam,
    FunctionToolParam,
    Response,
    ResponseInputItemParam,
    ResponseStreamEvent,
    ResponseTextConfigParam,
    ResponseUsage,
)

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.call_text import arguments_of, arguments_text, outcome_text
from stretto.shared.models.document_text import data_texts
from stretto.shared.models.exchange import Ask, Means, Said, Stop
from stretto.shared.models.fault import Fault, translated
from stretto.shared.models.garbled import UNREADABLE, Garbled, count, reading, word
from stretto.shared.models.openai.fault import openai_fault
from stretto.shared.models.protocol import Round, ToolCall

__all__ = ["OpenAIResponses"]

_STOPS: Final[dict[str, Stop]] = {"max_output_tokens": "length", "content_filter": "refused"}
_MAX_OUTPUT_TOKENS: Final = 16_384
"""So that no reply grows without a limit; thinking counts."""


class _Failed(Exception):
    """The reply, or the stream of it, says that it failed."""

    def __init__(self, code: str | None) -> None:
        super().__init__(code)
        self.fault = Fault(codes=frozenset({code} if code else ()))


class OpenAIResponses:
    """As `Endpoint`. Nothing is kept at the provider for later (`store`)."""

    means: tuple[Means, ...] = ("strict", "loose", "object", "text")
    compatible = False
    document_blocks = False

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        name: str,
        model: str,
        max_output_tokens: int | None,
        stream_timeout: httpx2.Timeout,
        headers: Mapping[str, str | openai.Omit] | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._model = model
        self.max_output_tokens: int | None = max_output_tokens or _MAX_OUTPUT_TOKENS
        self._stream_timeout = stream_timeout
        self._headers = headers

    def call(self, ask: Ask, said: Said, *, stream: bool) -> AsyncGenerator[str]:
        """As `Endpoint.call`."""
        return translated(
            self._stream(ask, said) if stream else self._whole(ask, said),
            errors=(_Failed, openai.OpenAIError, httpx2.HTTPError, *UNREADABLE),
            fault_of=_fault,
            name=self._name,
            shaped=ask.shape.means != "text",
            tools=bool(ask.tools),
        )

    async def _whole(self, ask: Ask, said: Said) -> AsyncGenerator[str]:
        response = await self._client.responses.with_raw_response.create(
            model=self._model,
            instructions=ask.instructions or openai.omit,
            input=_input(ask),
            text=_text(ask),
            tools=_tools(ask),
            max_output_tokens=ask.output_tokens or self.max_output_tokens,
            store=False,
            extra_headers=self._headers,
        )
        said.usage = Usage(model_calls=1)
        said.request_id = response.headers.get("x-request-id")
        whole = response.parse()
        with reading():
            _read(whole, said)
        yield said.text

    async def _stream(self, ask: Ask, said: Said) -> AsyncGenerator[str]:
        events = await self._client.responses.create(
            model=self._model,
            instructions=ask.instructions or openai.omit,
            input=_input(ask),
            text=_text(ask),
            tools=_tools(ask),
            max_output_tokens=ask.output_tokens or self.max_output_tokens,
            store=False,
            stream=True,
            timeout=self._stream_timeout,
            extra_headers=self._headers,
        )
        async with events:
            said.usage = Usage(model_calls=1)
            said.request_id = events.response.headers.get("x-request-id")
            async for event in events:
                with reading():
                    piece = _take(event, said)
                if piece:
                    yield piece
        if said.stop is None:
            raise Garbled("the stream ended before the reply did")


def _input(ask: Ask) -> list[ResponseInputItemParam]:
    first: EasyInputMessageParam = {
        "role": "user",
        "content": [{"type": "input_text", "text": one} for one in data_texts(ask)],
    }
    items: list[ResponseInputItemParam] = [first]
    for one in ask.rounds:
        items += _round(one)
    for turn in ask.turns:
        items.append({"role": "assistant", "content": turn.reply or "{}"})
        items.append({"role": "user", "content": turn.objection})
    if ask.begun:
        items.append({"role": "assistant", "content": ask.begun})
    return items


def _round(one: Round) -> list[ResponseInputItemParam]:
    items: list[ResponseInputItemParam] = [{"role": "assistant", "content": one.text}] if one.text else []
    # Without the items' own ids: with them the API would want the thoughts that came before, which are not kept.
    calls: list[ResponseInputItemParam] = [
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments_text(call)}
        for call in one.calls
    ]
    outcomes: list[ResponseInputItemParam] = [
        {"type": "function_call_output", "call_id": outcome.call, "output": outcome_text(outcome)}
        for outcome in one.outcomes
    ]
    return [*items, *calls, *outcomes]


def _tools(ask: Ask) -> list[FunctionToolParam] | openai.Omit:
    if not ask.tools:
        return openai.omit
    return [
        {
            "type": "function",
            "name": one.name,
            "description": one.description,
            "parameters": {**one.schema},
            "strict": False,  # strict takes a part of JSON Schema only; arguments are checked here in any case
        }
        for one in ask.tools
    ]


def _text(ask: Ask) -> ResponseTextConfigParam | openai.Omit:
    shape = ask.shape
    match shape.means:
        case "strict" | "loose":
            strict = shape.means == "strict"
            return {"format": {"type": "json_schema", "name": shape.name, "schema": shape.schema, "strict": strict}}
        case "object":
            return {"format": {"type": "json_object"}}
        case "text":
            return openai.omit


def _take(event: ResponseStreamEvent, said: Said) -> str:
    """Take in one event of a stream; return its piece of the text."""
    if event.type == "response.output_text.delta":
        return event.delta
    if event.type == "response.completed" or event.type == "response.incomplete" or event.type == "response.failed":
        _read(event.response, said)
    elif event.type == "error":
        raise _Failed(event.code)
    return ""


def _read(response: Response, said: Said) -> None:
    if response.usage:
        said.usage = _usage(response.usage)
    said.model, said.response_id = word(response, "model"), word(response, "id")
    if response.status == "failed":
        raise _Failed(response.error.code if response.error else None)
    parts = [
        part
        for item in response.output
        if item.type == "message" and item.phase != "commentary"
        for part in item.content
    ]
    said.text = "".join(part.text for part in parts if part.type == "output_text")
    said.calls = [
        ToolCall(id=item.call_id, name=item.name, arguments=arguments_of(item.arguments))
        for item in response.output
        if item.type == "function_call"
    ]
    reason = response.incomplete_details.reason if response.incomplete_details else None
    said.stop = _STOPS.get(reason or "", "done")
    if any(part.type == "refusal" for part in parts):
        said.stop = "refused"


def _usage(theirs: ResponseUsage) -> Usage:
    read, wrote = theirs.input_tokens_details, theirs.output_tokens_details
    return Usage(
        model_calls=1,
        input_tokens=count(theirs.input_tokens),
        cached_input_tokens=count(read.cached_tokens) if read else 0,
        output_tokens=count(theirs.output_tokens),
        reasoning_tokens=count(wrote.reasoning_tokens) if wrote else 0,
    )


def _fault(error: Exception) -> Fault:
    return error.fault if isinstance(error, _Failed) else openai_fault(error)
