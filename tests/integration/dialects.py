"""Dialects: the three protocols that models are asked in, as their servers speak them."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai

from stretto.shared.models.anthropic_messages import AnthropicMessages
from stretto.shared.models.exchange import Endpoint
from stretto.shared.models.openai_chat import OpenAIChat
from stretto.shared.models.openai_responses import OpenAIResponses
from tests.integration.provider_server import Answer, Part

__all__ = ["DIALECTS", "KEY", "Chat", "Dialect", "Messages", "Responses"]

KEY = "sk-canary-4242424242"
IDS = {"request-id": "req_1", "x-request-id": "req_1"}


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


DIALECTS: tuple[Dialect, ...] = (
    Messages("anthropic", "/v1/messages"),
    Chat("chat", "/chat/completions"),
    Responses("responses", "/responses"),
)
