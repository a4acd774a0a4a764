"""Dialects: the three protocols that models are asked in, as their servers speak them."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai

from stretto.shared.models.anthropic.messages import AnthropicMessages
from stretto.shared.models.exchange import Endpoint
from stretto.shared.models.openai.chat import OpenAIChat
from stretto.shared.models.openai.responses import OpenAIResponses
from tests.integration.provider_server import Answer, Part

__all__ = ["DIALECTS", "KEY", "Call", "Chat", "Dialect", "Messages", "Responses"]

KEY = "sk-canary-4242424242"
IDS = {"request-id": "req_1", "x-request-id": "req_1"}


@dataclass(frozen=True)
class Call:
    """A tool call as it goes over the wire: its arguments as the text that the model wrote."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Dialect(ABC):
    """One protocol: how to call it, and how its server answers."""

    name: str
    path: str

    @abstractmethod
    def endpoint(self, url: str, http: httpx2.AsyncClient, *, stall_limit_s: float = 5.0) -> Endpoint: ...

    @abstractmethod
    def whole(self, text: str, stop: str | None = None) -> dict[str, Any]:
        """The reply in one piece; 100 tokens of input, 60 of them cached; 20 of output, 5 of them thoughts."""
        ...

    @abstractmethod
    def events(self, pieces: Sequence[str], stop: str | None = None) -> list[bytes]:
        """The reply as a stream: what comes before the pieces, one event a piece, what comes after."""
        ...

    def error(self, status: int, code: str, message: str = "") -> Answer:
        return Answer({"error": {"type": code, "message": message}}, status=status, headers=IDS)

    def says(self, text: str, stop: str | None = None) -> Answer:
        return Answer(self.whole(text, stop), headers=IDS)

    def streams(self, *pieces: str, stop: str | None = None) -> Answer:
        return Answer(parts=self.events(pieces, stop), headers=IDS)

    def streams_parts(self, *parts: Part) -> Answer:
        return Answer(parts=parts, headers=IDS)

    @abstractmethod
    def sent_texts(self, body: dict[str, Any]) -> list[str]:
        """The texts of the request's first user message, one a field."""
        ...

    @abstractmethod
    def sent_schema(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """The schema that stands in the request's field for it."""
        ...

    @abstractmethod
    def sent_instructions(self, body: dict[str, Any]) -> str: ...

    @abstractmethod
    def asking(self, calls: Sequence[Call], text: str = "") -> dict[str, Any]:
        """A reply in one piece that asks for tools; the tokens are as in `whole`."""
        ...

    @abstractmethod
    def asking_events(self, calls: Sequence[Call], text: str = "") -> list[bytes]:
        """The same as a stream; the arguments come in two pieces each, and those of all calls one after another."""
        ...

    def asks(self, *calls: Call, text: str = "") -> Answer:
        return Answer(self.asking(calls, text), headers=IDS)

    def streams_calls(self, *calls: Call, text: str = "") -> Answer:
        return Answer(parts=self.asking_events(calls, text), headers=IDS)

    @abstractmethod
    def sent_tools(self, body: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        """The tools that the request offers: name, description, schema."""
        ...

    @abstractmethod
    def sent_calls(self, body: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        """The calls that it repeats: id, name, arguments."""
        ...

    @abstractmethod
    def sent_outcomes(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        """What came of them: id and text."""
        ...


def sse(data: dict[str, Any], event: str = "") -> bytes:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


@dataclass(frozen=True)
class Messages(Dialect):
    """Anthropic's."""

    def endpoint(self, url: str, http: httpx2.AsyncClient, *, stall_limit_s: float = 5.0) -> Endpoint:
        return AnthropicMessages(
            anthropic.AsyncAnthropic(api_key=KEY, base_url=url, http_client=http, max_retries=0, open_telemetry=False),
            name="anthropic:test",
            model="test",
            compatible=False,
            max_output_tokens=None,
            stream_timeout=httpx2.Timeout(stall_limit_s),
        )

    def whole(self, text: str, stop: str | None = None) -> dict[str, Any]:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "test",
            "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": text}],
            "stop_reason": stop or "end_turn",
            "stop_sequence": None,
            "stop_details": {"type": "refusal", "category": "cyber"} if stop == "refusal" else None,
            "usage": {
                "input_tokens": 30,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 10,
                "output_tokens": 20,
                "output_tokens_details": {"thinking_tokens": 5},
            },
        }

    def events(self, pieces: Sequence[str], stop: str | None = None) -> list[bytes]:
        whole = self.whole("", stop)
        start = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
        end = {"stop_reason": whole["stop_reason"], "stop_details": whole["stop_details"]}
        usage = {"output_tokens": 20, "output_tokens_details": {"thinking_tokens": 5}}
        return [
            sse({"type": "message_start", "message": start}, "message_start"),
            sse(
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                "content_block_start",
            ),
            *(
                sse(
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": one}},
                    "content_block_delta",
                )
                for one in pieces
            ),
            sse({"type": "content_block_stop", "index": 0}, "content_block_stop")
            + sse({"type": "message_delta", "delta": end, "usage": usage}, "message_delta")
            + sse({"type": "message_stop"}, "message_stop"),
        ]

    def sent_texts(self, body: dict[str, Any]) -> list[str]:
        content = body["messages"][0]["content"]
        return [one["text"] if one["type"] == "text" else one["source"]["data"] for one in content]

    def sent_schema(self, body: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = body.get("output_config", {}).get("format", {}).get("schema")
        return found

    def sent_instructions(self, body: dict[str, Any]) -> str:
        return str(body.get("system", ""))

    def asking(self, calls: Sequence[Call], text: str = "") -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
        content += [
            {"type": "tool_use", "id": one.id, "name": one.name, "input": _read(one.arguments)} for one in calls
        ]
        return {**self.whole("", "tool_use"), "content": content}

    def asking_events(self, calls: Sequence[Call], text: str = "") -> list[bytes]:
        first, opened, *pieces, last = self.events([text] if text else [], "tool_use")
        found = [first, opened, *pieces]
        for index, one in enumerate(calls, start=1):
            block = {"type": "tool_use", "id": one.id, "name": one.name, "input": {}}
            found.append(
                sse({"type": "content_block_start", "index": index, "content_block": block}, "content_block_start")
            )
            for piece in _halves(one.arguments):
                delta = {"type": "input_json_delta", "partial_json": piece}
                found.append(
                    sse({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta")
                )
        return [*found, last]

    def sent_tools(self, body: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        return [(one["name"], one["description"], one["input_schema"]) for one in body.get("tools", [])]

    def sent_calls(self, body: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        blocks = _blocks(body, "assistant", "tool_use")
        return [(one["id"], one["name"], one["input"]) for one in blocks]

    def sent_outcomes(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        return [(one["tool_use_id"], one["content"]) for one in _blocks(body, "user", "tool_result")]


@dataclass(frozen=True)
class Chat(Dialect):
    """Chat completions."""

    def endpoint(self, url: str, http: httpx2.AsyncClient, *, stall_limit_s: float = 5.0) -> Endpoint:
        return OpenAIChat(
            openai.AsyncOpenAI(api_key=KEY, base_url=url, http_client=http, max_retries=0),
            name="local:test",
            model="test",
            max_output_tokens=None,
            stream_timeout=httpx2.Timeout(stall_limit_s),
        )

    def _usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 60},
            "completion_tokens_details": {"reasoning_tokens": 5},
        }

    def whole(self, text: str, stop: str | None = None) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        return {
            "id": "chat_1",
            "object": "chat.completion",
            "created": 1,
            "model": "test",
            "choices": [{"index": 0, "message": message, "finish_reason": stop or "stop"}],
            "usage": self._usage(),
        }

    def events(self, pieces: Sequence[str], stop: str | None = None) -> list[bytes]:
        def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return sse(
                {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": "test", "choices": [choice]}
            )

        usage = {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": "test", "choices": []}
        return [
            chunk({"role": "assistant", "content": ""}),
            *(chunk({"content": one}) for one in pieces),
            chunk({}, stop or "stop") + sse({**usage, "usage": self._usage()}) + b"data: [DONE]\n\n",
        ]

    def sent_texts(self, body: dict[str, Any]) -> list[str]:
        return str(next(one["content"] for one in body["messages"] if one["role"] == "user")).split("\n")

    def sent_schema(self, body: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = body.get("response_format", {}).get("json_schema", {}).get("schema")
        return found

    def sent_instructions(self, body: dict[str, Any]) -> str:
        return "".join(one["content"] for one in body["messages"] if one["role"] == "system")

    def asking(self, calls: Sequence[Call], text: str = "") -> dict[str, Any]:
        whole = self.whole("", "tool_calls")
        message = {"role": "assistant", "content": text or None, "tool_calls": [self._call(one) for one in calls]}
        return {**whole, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}

    def _call(self, one: Call) -> dict[str, Any]:
        return {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}

    def asking_events(self, calls: Sequence[Call], text: str = "") -> list[bytes]:
        first, *pieces, last = self.events([text] if text else [], "tool_calls")
        found = [first, *pieces]
        for index, one in enumerate(calls):
            head, rest = _halves(one.arguments)
            opening = {"index": index, **self._call(Call(one.id, one.name, head))}
            for call in (opening, {"index": index, "function": {"arguments": rest}}):
                choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
                chunk = {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": "test"}
                found.append(sse({**chunk, "choices": [choice]}))
        return [*found, last]

    def sent_tools(self, body: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        functions = [one["function"] for one in body.get("tools", [])]
        return [(one["name"], one["description"], one["parameters"]) for one in functions]

    def sent_calls(self, body: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        calls = [call for one in body["messages"] for call in one.get("tool_calls", [])]
        return [(one["id"], one["function"]["name"], json.loads(one["function"]["arguments"])) for one in calls]

    def sent_outcomes(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        return [(one["tool_call_id"], one["content"]) for one in body["messages"] if one["role"] == "tool"]


@dataclass(frozen=True)
class Responses(Dialect):
    """OpenAI's responses."""

    def endpoint(self, url: str, http: httpx2.AsyncClient, *, stall_limit_s: float = 5.0) -> Endpoint:
        return OpenAIResponses(
            openai.AsyncOpenAI(api_key=KEY, base_url=url, http_client=http, max_retries=0),
            name="openai:test",
            model="test",
            max_output_tokens=None,
            stream_timeout=httpx2.Timeout(stall_limit_s),
        )

    def whole(self, text: str, stop: str | None = None) -> dict[str, Any]:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        if stop == "refusal":
            part = {"type": "refusal", "refusal": "no"}
        cut = stop in ("max_output_tokens", "content_filter")
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": "test",
            "status": "incomplete" if cut else "completed",
            "error": None,
            "incomplete_details": {"reason": stop} if cut else None,
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]},
            ],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
                "output_tokens": 20,
                "output_tokens_details": {"reasoning_tokens": 5},
                "total_tokens": 120,
            },
        }

    def events(self, pieces: Sequence[str], stop: str | None = None) -> list[bytes]:
        end = self.whole("".join(pieces), stop)
        last = f"response.{end['status']}"
        place = {"item_id": "msg_1", "output_index": 1, "content_index": 0, "logprobs": []}
        return [
            sse({"type": "response.created", "sequence_number": 0, "response": {**end, "status": "in_progress"}}),
            *(
                sse({"type": "response.output_text.delta", "sequence_number": 1, "delta": one, **place})
                for one in pieces
            ),
            sse({"type": last, "sequence_number": 2, "response": end}),
        ]

    def sent_texts(self, body: dict[str, Any]) -> list[str]:
        return [one["text"] for one in body["input"][0]["content"]]

    def sent_schema(self, body: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = body.get("text", {}).get("format", {}).get("schema")
        return found

    def sent_instructions(self, body: dict[str, Any]) -> str:
        return str(body.get("instructions", ""))

    def asking(self, calls: Sequence[Call], text: str = "") -> dict[str, Any]:
        whole = self.whole(text)
        items = whole["output"] if text else whole["output"][:1]
        for one in calls:
            call = {"call_id": one.id, "name": one.name, "arguments": one.arguments}
            items = [*items, {"type": "function_call", "id": f"fc_{one.id}", "status": "completed", **call}]
        return {**whole, "output": items}

    def asking_events(self, calls: Sequence[Call], text: str = "") -> list[bytes]:
        begun, *pieces, _ = self.events([text] if text else [])
        for index, one in enumerate(calls, start=2):
            place = {"item_id": f"fc_{one.id}", "output_index": index, "sequence_number": 1}
            for piece in _halves(one.arguments):
                pieces.append(sse({"type": "response.function_call_arguments.delta", "delta": piece, **place}))
        end = self.asking(calls, text)
        return [begun, *pieces, sse({"type": "response.completed", "sequence_number": 2, "response": end})]

    def sent_tools(self, body: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        return [(one["name"], one["description"], one["parameters"]) for one in body.get("tools", [])]

    def sent_calls(self, body: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
        calls = [one for one in body["input"] if one.get("type") == "function_call"]
        return [(one["call_id"], one["name"], json.loads(one["arguments"])) for one in calls]

    def sent_outcomes(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        outcomes = [one for one in body["input"] if one.get("type") == "function_call_output"]
        return [(one["call_id"], one["output"]) for one in outcomes]


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _read(arguments: str) -> Any:
    """In Anthropic's protocol arguments come as JSON, not as a text; a broken server may send a text all the same."""
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _blocks(body: dict[str, Any], role: str, kind: str) -> list[dict[str, Any]]:
    messages = [one for one in body["messages"] if one["role"] == role and isinstance(one["content"], list)]
    return [block for one in messages for block in one["content"] if block["type"] == kind]


DIALECTS: tuple[Dialect, ...] = (
    Messages("anthropic", "/v1/messages"),
    Chat("chat", "/chat/completions"),
    Responses("responses", "/responses"),
)
