"""Recorder: writes an attempt's journal, whatever becomes of the handler meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Never, Protocol, TypeVar

from pydantic import JsonValue

from stretto.agents.errors import TaskPermanent
from stretto.agents.gate import Gate, Stop
from stretto.bus.effect_failure import EffectFailure
from stretto.bus.errors import BusError, JournalMismatch
from stretto.bus.failpoints import reach
from stretto.bus.journal import Effect, Journal
from stretto.bus.step import Step, StepEnd, StepKind

__all__ = ["Recorder", "Spawn"]

Result = TypeVar("Result")


class Spawn(Protocol):
    """Starts a task."""

    def __call__(self, coro: Coroutine[Any, Any, Result], /) -> asyncio.Task[Result]: ...


class Recorder:
    """What effects are written down with. An outcome that is known is recorded even when its handler is cancelled.

    Args:
        spawn: starts a task that belongs to the attempt and may outlive its handler for a moment.
    """

    def __init__(self, *, journal: Journal, gate: Gate, spawn: Spawn) -> None:
        self.journal = journal
        self._gate = gate
        self._spawn = spawn

    async def begin(self, kind: StepKind, name: str, value: JsonValue) -> Effect:
        """As `Journal.begin`, while the handler may go on.

        Raises:
            TaskPermanent: `value` is nothing that JSON can say.
        """
        await self._gate.passed()
        try:
            effect = await self.journal.begin(kind, name, value)
        except JournalMismatch as error:
            await self._gate.passed()  # a branch that is stopped asks for nothing more: that is no mismatch
            await self.break_off(error)
        except (TypeError, ValueError) as error:
            raise TaskPermanent(f"the input of {name!r} is nothing that JSON can say") from error
        await self._gate.passed()  # it may have waited
        return effect

    async def intend(self, effect: Effect) -> None:
        """As `Journal.intend`."""
        reach("agent.step.before_intent")
        await self.keep(lambda: self.journal.intend(effect))

    async def record(
        self, effect: Effect, end: StepEnd = "done", output: JsonValue = None, failure: EffectFailure | None = None
    ) -> Step:
        """As `Journal.record`."""
        reach("agent.step.before_record")
        step = await self.keep(lambda: self.journal.record(effect, end=end, output=output, failure=failure))
        reach("agent.step.recorded")
        return step

    async def keep(self, write: Callable[[], Awaitable[Result]]) -> Result:
        """Write, and go on with that when the handler is cancelled meanwhile. What the bus will never take ends the attempt."""
        result = await asyncio.shield(self._spawn(self._told(write)))
        if isinstance(result, Exception):
            await self.break_off(result)
        return result

    async def break_off(self, error: Exception) -> Never:
        """End the attempt: its journal cannot go on. The handler is cancelled, so that it cannot get past this."""
        self._gate.stop(Stop.BROKEN, error)
        await self._gate.closed()

    async def _told(self, write: Callable[[], Awaitable[Result]]) -> Result | BusError:
        try:
            result = await write()
        except BusError as error:
            return error
        if self.journal.superseded:
            self._gate.stop(Stop.SUPERSEDED)
        return result
