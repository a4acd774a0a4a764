"""OpenAIChat: a model behind a chat completions API, which is what compatible servers speak."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

import httpx2
import openai
from openai.types import CompletionUsage
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
)
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from openai.types.chat.completion_create_params import ResponseFormat

from stretto.shared.contracts.usage import Usage
from stretto.shared.models.call_text import arguments_of, arguments_text, outcome_text
from stretto.shared.models.document_text import data_texts
from stretto.shared.models.exchange import Ask, Means, Said, Stop
from stretto.shared.models.fault import translated
from stretto.shared.models.garbled import UNREADABLE, Garbled, count, reading, word
from stretto.shared.models.openai.fault import openai_fault
from stretto.shared.models.protocol import Round, ToolCall

__all__ = ["OpenAIChat"]

_STOPS: Final[dict[str, Stop]] = {"length": "length", "content_filter": "refused"}


@dataclass(slots=True, repr=False)
class _CallParts:
    """A tool call of a stream, which comes in pieces."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def add(self, piece: ChoiceDeltaToolCall) -> None:
        self.id = self.id or piece.id or ""
        if piece.function:
            self.name = self.name or piece.function.name or ""
            self.arguments += piece.function.arguments or ""

    def call(self) -> ToolCall:
        return ToolCall(id=self.id, name=self.name, arguments=arguments_of(self.arguments))


class OpenAIChat:
    """As `Endpoint`."""

    means: tuple[Means, ...] = ("strict", "loose", "object", "text")
    compatible = True
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
        self.max_output_tokens = max_output_tokens
        self._stream_timeout = stream_timeout
        self._headers = headers

    def call(self, ask: Ask, said: Said, *, stream: bool) -> AsyncGenerator[str]:
        """As `Endpoint.call`."""
        return translated(
            self._stream(ask, said) if stream else self._whole(ask, said),
            errors=(openai.OpenAIError, httpx2.HTTPError, *UNREADABLE),
            fault_of=openai_fault,
            name=self._name,
            shaped=ask.shape.means != "text",
            tools=bool(ask.tools),
        )

    async def _whole(self, ask: Ask, said: Said) -> AsyncGenerator[str]:
        response = await self._client.chat.completions.with_raw_response.create(
            model=self._model,
            messages=_messages(ask),
            tools=_tools(ask),
            response_format=_response_format(ask),
            # The older name of the limit: the only one that all compatible servers know.
            max_tokens=ask.output_tokens or self.max_output_tokens or openai.omit,
            extra_headers=self._headers,
        )
        said.usage = Usage(model_calls=1)
        said.request_id = response.headers.get("x-request-id")
        completion = response.parse()
        with reading():
            _read(completion, said)
        yield said.text

    async def _stream(self, ask: Ask, said: Said) -> AsyncGenerator[str]:
        chunks = await self._client.chat.completions.create(
            model=self._model,
            messages=_messages(ask),
            tools=_tools(ask),
            response_format=_response_format(ask),
            max_tokens=ask.output_tokens or self.max_output_tokens or openai.omit,
            stream=True,
            stream_options={"include_usage": True},
            timeout=self._stream_timeout,
            extra_headers=self._headers,
        )
        calls: dict[int, _CallParts] = {}
        async with chunks:
            said.usage = Usage(model_calls=1)
            said.request_id = chunks.response.headers.get("x-request-id")
            async for chunk in chunks:
                with reading():
                    piece = _take(chunk, said, calls)
                if piece:
                    said.text += piece
                    yield piece
        if said.stop is None:
            raise Garbled("the stream ended before the reply did")
        with reading():
            said.calls = [one.call() for _, one in sorted(calls.items())]


def _messages(ask: Ask) -> list[ChatCompletionMessageParam]:
    messages: list[ChatCompletionMessageParam] = []
    if ask.instructions:
        messages.append({"role": "system", "content": ask.instructions})
    texts = data_texts(ask)
    # Not every compatible server takes a list, and many templates take no two user messages in a row.
    messages.append({"role": "user", "content": "\n".join(texts)})
    for one in ask.rounds:
        messages += _round(one)
    for turn in ask.turns:
        messages.append({"role": "assistant", "content": turn.reply or "{}"})
        messages.append({"role": "user", "content": turn.objection})
    if ask.begun:
        messages.append({"role": "assistant", "content": ask.begun})
    return messages


def _round(one: Round) -> list[ChatCompletionMessageParam]:
    calls: list[ChatCompletionMessageFunctionToolCallParam] = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments_text(call)}}
        for call in one.calls
    ]
    outcomes: list[ChatCompletionMessageParam] = [
        {"role": "tool", "tool_call_id": outcome.call, "content": outcome_text(outcome)} for outcome in one.outcomes
    ]
    return [{"role": "assistant", "content": one.text or None, "tool_calls": calls}, *outcomes]


def _tools(ask: Ask) -> list[ChatCompletionToolParam] | openai.Omit:
    if not ask.tools:
        return openai.omit
    return [
        {
            "type": "function",
            "function": {"name": one.name, "description": one.description, "parameters": {**one.schema}},
        }
        for one in ask.tools
    ]


def _response_format(ask: Ask) -> ResponseFormat | openai.Omit:
    shape = ask.shape
    match shape.means:
        case "strict" | "loose":
            strict = shape.means == "strict"
            return {
                "type": "json_schema",
                "json_schema": {"name": shape.name, "schema": shape.schema, "strict": strict},
            }
        case "object":
            return {"type": "json_object"}
        case "text":
            return openai.omit


def _read(completion: ChatCompletion, said: Said) -> None:
    said.usage = _usage(completion.usage)
    said.model, said.response_id = word(completion, "model"), word(completion, "id")
    choice = completion.choices[0]
    said.text = choice.message.content or ""
    said.calls = [
        ToolCall(id=call.id or "", name=call.function.name, arguments=arguments_of(call.function.arguments))
        for call in choice.message.tool_calls or ()
        if call.type == "function"
    ]
    said.stop = "refused" if choice.message.refusal else _STOPS.get(choice.finish_reason, "done")


def _take(chunk: ChatCompletionChunk, said: Said, calls: dict[int, _CallParts]) -> str:
    """Take in one event of a stream; return its piece of the text."""
    if chunk.usage:  # in a last chunk without choices, or in every chunk
        said.usage = _usage(chunk.usage)
    said.model, said.response_id = word(chunk, "model"), word(chunk, "id")
    if not chunk.choices:
        return ""
    choice = chunk.choices[0]
    for piece in choice.delta.tool_calls or ():
        # Some servers number none, or all alike: a new call is told by its id then.
        place = count(piece.index)
        if piece.id and place in calls and calls[place].id not in ("", piece.id):
            place = len(calls)
        calls.setdefault(place, _CallParts()).add(piece)
    if choice.delta.refusal:
        said.stop = "refused"
    if choice.finish_reason and said.stop != "refused":
        said.stop = _STOPS.get(choice.finish_reason, "done")
    return choice.delta.content or ""


def _usage(theirs: CompletionUsage | None) -> Usage:
    if theirs is None:  # some servers tell nothing
        return Usage(model_calls=1)
    read, wrote = theirs.prompt_tokens_details, theirs.completion_tokens_details
    return Usage(
        model_calls=1,
        input_tokens=count(theirs.prompt_tokens),
        cached_input_tokens=count(read.cached_tokens) if read else 0,
        output_tokens=count(theirs.completion_tokens),
        reasoning_tokens=count(wrote.reasoning_tokens) if wrote else 0,
    )
