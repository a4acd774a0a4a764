"""ScriptedModel: replies from a script, line by line, and a script that must be used up. For tests."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

import yaml
from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError, model_validator

from stretto.bus.message import Value
from stretto.shared.contracts.usage import Usage
from stretto.shared.models.call_text import named
from stretto.shared.models.errors import BadReply, CannotDo, ModelUnavailable, ScriptMismatch
from stretto.shared.models.exchange import Ask, Said, Shape
from stretto.shared.models.protocol import (
    CallsAsked,
    Document,
    OnText,
    Output,
    Purse,
    Reply,
    Round,
    ToolCall,
    ToolSpec,
)
from stretto.shared.telemetry.capture import capture
from stretto.shared.telemetry.chat import HERE, Chat

__all__ = ["ScriptLine", "ScriptedModel"]

Answerer = Callable[[str, Sequence[Document]], BaseModel]
"""Makes a reply from the question and the documents."""

_RAISABLE: dict[str, type[Exception]] = {
    "ModelUnavailable": ModelUnavailable,
    "BadReply": BadReply,
    "CannotDo": CannotDo,
}


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """One expected call and what it gets.

    Attributes:
        expects: the output type that must be asked for, or its name.
        reply: the output, or its fields as data, or an exception to raise, or what makes the output from question and documents.
        asks: text that must stand in the question.
        reads: texts that must each stand in a document, or in what a tool gave before.
        usage: what the call costs.
        calls: the tools to ask for, in place of a reply: each must be offered.
    """

    expects: type[BaseModel] | str
    reply: BaseModel | dict[str, JsonValue] | Exception | Answerer = field(default_factory=dict[str, JsonValue])
    asks: str = ""
    reads: tuple[str, ...] = ()
    usage: Usage = field(default_factory=lambda: Usage(model_calls=1))
    confidence: float | None = None
    calls: tuple[ToolCall, ...] = ()

    @property
    def type_name(self) -> str:
        return self.expects if isinstance(self.expects, str) else self.expects.__name__


class ScriptedModel:
    """Takes the lines in their order, whoever calls; several agents of one process may share it.

    As a context manager it fails at the end when lines are left, unless an error is already under way.
    """

    def __init__(self, lines: Iterable[ScriptLine], *, name: str = "scripted") -> None:
        self._lines = tuple(lines)
        self._used = 0
        self._name = name
        self._chat = Chat(provider=HERE, model=name)

    @classmethod
    def from_file(cls, path: Path) -> "ScriptedModel":
        """Read a script from YAML or JSON: a list of objects with `expects`, and `reply` (fields), `error` (a model error's name) or
        `calls` (of tools: each with `name` and `arguments`).

        Raises:
            ScriptMismatch: the file cannot be read or is no script; the text says where.
        """
        try:
            written = _SCRIPT.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ScriptMismatch(f"the script {path} cannot be read: {error}") from error
        except ValidationError as error:
            where = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise ScriptMismatch(f"{path} is no script: {where}") from error
        return cls([one.line(path) for one in written], name=f"scripted:{path.name}")

    @property
    def name(self) -> str:
        return self._name

    @property
    def left(self) -> tuple[ScriptLine, ...]:
        """The lines not yet used."""
        return self._lines[self._used :]

    def assert_used_up(self) -> None:
        """Raises AssertionError when lines are left."""
        if self.left:
            names = ", ".join(line.type_name for line in self.left)
            raise AssertionError(f"{len(self.left)} of {len(self._lines)} script lines were not used: {names}")

    def __enter__(self) -> "ScriptedModel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.assert_used_up()

    async def generate(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output]:
        """As `Model.generate`.

        Raises:
            ScriptMismatch: another call was expected, or none; the line is then not used.
        """
        line = self._next(output_type, question, [one.text for one in documents])
        if line.calls:
            raise ScriptMismatch(f"line {self._used} asks for tools, and none were offered")
        ask = Ask(instructions, question, documents, Shape("text", line.type_name, {}))
        return await self._reply(line, output_type, ask, purse)

    async def take_turn(
        self,
        output_type: type[Output],
        *,
        instructions: str,
        question: str = "",
        documents: Sequence[Document] = (),
        tools: Sequence[ToolSpec],
        rounds: Sequence[Round] = (),
        on_text: OnText | None = None,
        purse: Purse | None = None,
    ) -> Reply[Output] | CallsAsked:
        """As `ToolModel.take_turn`, and `generate` here."""
        gave = [outcome.text for one in rounds for outcome in one.outcomes]
        line = self._next(output_type, question, [*(one.text for one in documents), *gave])
        ask = Ask(instructions, question, documents, Shape("text", line.type_name, {}), tools, rounds)
        if not line.calls:
            return await self._reply(line, output_type, ask, purse)
        missing = {call.name for call in line.calls} - {tool.name for tool in tools}
        if missing:
            raise ScriptMismatch(f"line {self._used} asks for {', '.join(sorted(missing))}: no such tool is offered")
        calls = named(line.calls, rounds)
        said = Said(calls=[*calls], stop="done", usage=line.usage)
        with self._chat.request(ask, said):
            await self._spend(line, purse)
        return CallsAsked(calls, self.name, line.usage)

    def _next(self, output_type: type[BaseModel], question: str, texts: Sequence[str]) -> ScriptLine:
        position = self._used + 1
        if not self.left:
            raise ScriptMismatch(
                f"call {position} asks for {output_type.__name__}, but the script has {len(self._lines)} lines"
            )
        line = self.left[0]
        _check(line, position, output_type, question, texts)
        self._used += 1
        return line

    async def _reply(
        self,
        line: ScriptLine,
        output_type: type[Output],
        ask: Ask,
        purse: Purse | None,
    ) -> Reply[Output]:
        position = self._used
        said = Said()
        with self._chat.request(ask, said):
            await self._spend(line, purse)
            if isinstance(line.reply, Exception):
                raise line.reply
            output = line.reply(ask.question, ask.documents) if callable(line.reply) else line.reply
            try:
                valid = output_type.model_validate(output)
            except ValidationError as error:
                raise ScriptMismatch(f"the reply of line {position} is no {output_type.__name__}: {error}") from error
            said.usage, said.stop = line.usage, "done"
            if capture():
                said.text = valid.model_dump_json()
        return Reply(output=valid, model=self.name, usage=line.usage, confidence=line.confidence)

    async def _spend(self, line: ScriptLine, purse: Purse | None) -> None:
        """Pay for the line, as a provider's model pays for a request."""
        if purse is not None:
            usage = line.usage
            grant = await purse.for_model(self.name, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
            await grant.settle(usage)


class _WrittenCall(Value):
    name: str
    arguments: dict[str, JsonValue] | None = Field(default_factory=dict[str, JsonValue])
    id: str = ""


class _WrittenLine(Value):
    expects: str
    reply: dict[str, JsonValue] | None = None
    error: Literal["ModelUnavailable", "BadReply", "CannotDo"] | None = None
    asks: str = ""
    reads: tuple[str, ...] = ()
    usage: Usage = Usage(model_calls=1)
    confidence: float | None = None
    calls: tuple[_WrittenCall, ...] = ()

    @model_validator(mode="after")
    def _one_of_three(self) -> "_WrittenLine":
        if (self.reply is not None) + (self.error is not None) + bool(self.calls) != 1:
            raise ValueError("a line has either a reply, an error, or calls")
        return self

    def line(self, path: Path) -> ScriptLine:
        reply: dict[str, JsonValue] | Exception = self.reply or {}
        if self.error is not None:
            reply = _RAISABLE[self.error](f"the script {path.name} says so")
        calls = tuple(ToolCall(id=one.id, name=one.name, arguments=one.arguments) for one in self.calls)
        return ScriptLine(self.expects, reply, self.asks, self.reads, self.usage, self.confidence, calls)


_SCRIPT = TypeAdapter(list[_WrittenLine])


def _check(line: ScriptLine, position: int, output_type: type[BaseModel], question: str, texts: Sequence[str]) -> None:
    if line.type_name != output_type.__name__:
        raise ScriptMismatch(f"line {position} expects {line.type_name}, but {output_type.__name__} was asked for")
    if line.asks not in question:
        raise ScriptMismatch(f"line {position} expects {line.asks!r} in the question, which is {question[:200]!r}")
    for text in line.reads:
        if not any(text in one for one in texts):
            raise ScriptMismatch(f"line {position} expects {text!r} in one of the {len(texts)} documents")
