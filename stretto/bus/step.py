"""Step: one recorded effect of an attempt, and the intent that is recorded before an effect with consequences."""

import hashlib
import json
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, JsonValue

from stretto.bus.effect_failure import EffectFailure
from stretto.bus.message import Message, Value

__all__ = ["Identity", "Intent", "Observation", "Step", "StepEnd", "StepKind", "digest_of"]

StepKind = Literal["model", "tool", "memory", "ask", "step"]
StepEnd = Literal["done", "failed", "abandoned", "not_done"]
_Position = Annotated[int, Field(ge=0)]


class Identity(NamedTuple):
    """Which effect of an attempt it is: the n-th that asks for the same, counted from 0."""

    kind: str
    name: str
    digest: str
    occurrence: int = 0

    def __str__(self) -> str:
        again = f", for the {self.occurrence + 1}. time" if self.occurrence else ""
        return f"{self.kind} {self.name!r} with input {self.digest[:12]}{again}"


class Observation(Value):
    """What a read gave: it may give something else another time, so a replay must see the same. It is recorded with the next step.

    Attributes:
        ordinal: its place among the attempt's observations.
        name: what was read; digest: of what was asked.
        output: what it gave, unless `failure` is set.
    """

    ordinal: Annotated[int, Field(ge=0)]
    name: str
    digest: str
    output: JsonValue = None
    failure: EffectFailure | None = None


class Intent(Message):
    """An effect with consequences begins. Without a step at its position it is not known whether it happened.

    Attributes:
        position: among the attempt's effects, in the order in which they begin.
        name: what is asked for; digest: the SHA-256 of its input as canonical JSON, in hex.
        occurrence: how many effects of the attempt asked for the same before.
        key: the idempotency key that it is called with.
        observations: what was read since the entry before.
    """

    TYPE: ClassVar[str] = "intent"

    position: _Position
    kind: StepKind
    name: str
    digest: str
    occurrence: _Position = 0
    key: str
    observations: tuple[Observation, ...] = ()

    @property
    def identity(self) -> Identity:
        return Identity(self.kind, self.name, self.digest, self.occurrence)


class Step(Message):
    """The outcome of one effect. Written once.

    Attributes:
        position: among the attempt's effects, in the order in which they begin.
        name: what is asked for; digest: the SHA-256 of its input as canonical JSON, in hex.
        occurrence: how many effects of the attempt asked for the same before.
        resumption: how many questions of the attempt were settled when it was recorded.
        end: `done` (it gave `output`), `failed` (see `failure`), `abandoned` (the handler gave it up before it was known), or `not_done` (a
            person said that it had not happened: it is tried anew at a later position).
        observations: what was read since the entry before.
    """

    TYPE: ClassVar[str] = "step"

    position: _Position
    kind: StepKind
    name: str
    digest: str
    occurrence: _Position = 0
    resumption: Annotated[int, Field(ge=0)] = 0
    end: StepEnd = "done"
    output: JsonValue = None
    failure: EffectFailure | None = None
    observations: tuple[Observation, ...] = ()

    @property
    def identity(self) -> Identity:
        return Identity(self.kind, self.name, self.digest, self.occurrence)


def digest_of(value: JsonValue) -> str:
    """The SHA-256 of a value as canonical JSON, in hex.

    Raises:
        ValueError, TypeError: it is nothing that JSON can say.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
