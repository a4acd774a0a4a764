"""Attempt: one try at one task, from what is on record of it to its outcome, or to whatever stops it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from stretto.agents.agent import Agent
from stretto.agents.budgeted_model import BudgetedModel
from stretto.agents.context import TaskContext
from stretto.agents.edge import Edge
from stretto.agents.effects import Effects
from stretto.agents.errors import TaskPermanent, TaskRetryable
from stretto.agents.gate import Gate, Stop
from stretto.agents.live_text import LiveText
from stretto.agents.outcome import failure_of, input_of, is_foreseen, output_of
from stretto.agents.panel import Panel, PanelOf, no_panel
from stretto.agents.recorder import Recorder
from stretto.agents.remarks import remarks_of
from stretto.bus.errors import JournalMismatch
from stretto.bus.failpoints import reach
from stretto.bus.journal import Journal
from stretto.bus.subjects import TaskKey
from stretto.shared.contracts.ensemble import Ensemble
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.step import by_model_of, models_of, usage_of
from stretto.shared.contracts.task import RunTask, TaskResult
from stretto.shared.memory.protocol import Memory
from stretto.shared.models.protocol import Model
from stretto.shared.money.purse import BudgetPurse
from stretto.shared.tools.protocol import Tool

__all__ = ["Attempt"]

_log = logging.getLogger(__name__)
_LAST_WRITES_S = 2.0
_CANCEL_AGAIN_S = 1.0

Written = TypeVar("Written")


class Attempt:
    """Runs the agent's handler in a task of its own.

    Args:
        put: writes a question into the run's log, once.
        instance: the process that does it.
        now: the server's time, as far as it is known: deadlines are its.
        purse: what it may spend; None for no limits.
        spare: a model that costs nothing, for when that is spent.
        panel_of: opens the models of a task that asks several.
        live: is told what models write while they do.
    """

    def __init__(
        self,
        *,
        agent: Agent[Any, Any],
        key: TaskKey,
        task: RunTask,
        journal: Journal,
        model: Model,
        memory: Memory,
        tools: Sequence[Tool],
        put: Callable[[Question], Awaitable[None]],
        progress: Callable[[str], Awaitable[None]],
        instance: str,
        now: datetime,
        purse: BudgetPurse | None = None,
        spare: Model | None = None,
        panel_of: PanelOf = no_panel,
        live: LiveText | None = None,
    ) -> None:
        self._agent = agent
        self._live = live
        self.key = key
        self._task = task
        self._journal = journal
        self._memory = memory
        self._tools = tools
        self._put = put
        self._progress = progress
        self._instance = instance
        self._now = now
        self._panel_of = panel_of
        self._purse = purse
        self._spare = spare
        self._edge: Edge | None = None
        if purse is not None:
            policy = (task.budget.at_edge if task.budget else None) or "fail"
            self._edge = Edge(policy, raise_limit=purse.raise_run, can_finish=spare is not None)
        self._model = self._paid(model)
        self._gate = Gate()
        self._writes: set[asyncio.Task[Any]] = set()

    def stop(self, reason: Stop) -> None:
        """Stop the handler."""
        self._gate.stop(reason)

    async def run(self) -> TaskResult | Stop:
        """Return the attempt's result, or why it has none yet. Cancelling this cancels the handler."""
        began = time.monotonic()
        left_s = _left_s(self._task, self._now)
        timer = left_s is not None and asyncio.get_running_loop().call_later(
            max(0.0, left_s), self._gate.stop, Stop.TIME
        )
        try:
            ended = await self._supervise()
        finally:
            self._gate.stop(Stop.TIME)  # for what the handler left behind
            if timer:
                timer.cancel()
        if isinstance(ended, Stop):
            return ended
        failure = None if isinstance(ended, dict) else failure_of(ended)
        return TaskResult(
            task=self.key.task,
            attempt=self.key.attempt,
            role=self.key.role,
            agent=self._instance,
            output=ended if isinstance(ended, dict) else None,
            failure=failure,
            usage=usage_of(self._journal.steps),
            models=models_of(self._journal.steps),
            seconds=time.monotonic() - began,
            by_model=by_model_of(self._journal.steps),
            remarks=remarks_of(self._journal.steps),
        )

    async def _supervise(self) -> dict[str, Any] | Exception | Stop:
        """The handler's output or error, or why it has neither."""
        async with asyncio.TaskGroup() as group:

            def spawn(coro: Coroutine[Any, Any, Written]) -> asyncio.Task[Written]:
                task = group.create_task(coro)
                self._writes.add(task)
                task.add_done_callback(self._writes.discard)
                return task

            effects = Effects(
                key=self.key,
                recorder=Recorder(journal=self._journal, gate=self._gate, spawn=spawn),
                gate=self._gate,
                put=self._put,
                settled=self._task.settled,
                edge=self._edge,
            )
            handler = group.create_task(self._handle(effects))
            try:
                await _first(handler, self._gate.stopped)
                if not handler.done():
                    await _first(handler, self._gate.due)
            except asyncio.CancelledError:
                self._gate.stop(Stop.SHUT_DOWN)
                raise
            finally:
                finished = handler.done()
                await self._end(handler)
            match self._gate.reason:
                case None:
                    return _outcome(handler)
                case Stop.TIME if finished:  # at the last moment
                    return _outcome(handler)
                case Stop.TIME:
                    return self._out_of_time(effects)
                case Stop.BROKEN:
                    return self._gate.error or TaskRetryable("the journal cannot go on")
                case reason:
                    return reason

    async def _handle(self, effects: Effects) -> dict[str, Any] | Exception:
        try:
            given = input_of(self._agent, self._task.input)
            context = self._context(effects)
            reach("agent.before_start")
            output = output_of(self._agent, await self._agent.handle(given, context))
        except Exception as error:  # noqa: BLE001 (the edge of a handler: whatever it raises is this attempt's outcome)
            if not is_foreseen(error):
                _log.warning("%s %s of run %s failed", self.key.role, self.key.task, self.key.run.run, exc_info=True)
            return error
        for entry in self._journal.unasked:
            return JournalMismatch(entry.position, str(entry.identity), "nothing any more")
        return output

    def _context(self, effects: Effects) -> TaskContext:
        return TaskContext(
            key=self.key,
            effects=effects,
            model=self._model,
            memory=self._memory,
            scope=self._task.scope,
            tools=self._tools,
            deadline=self._task.deadline,
            conversation=self._task.conversation,
            progress=self._progress,
            panel=self._panel(self._task.ensemble) if self._task.ensemble else None,
            purse=self._purse,
            live=self._live,
        )

    def _panel(self, ensemble: Ensemble) -> Panel:
        panel = self._panel_of(ensemble)
        return replace(panel, models=tuple(map(self._paid, panel.models)), judge=self._paid(panel.judge))

    def _paid(self, model: Model) -> Model:
        """The model, paid from the purse where there is one."""
        if self._purse is None or self._edge is None:
            return model
        return BudgetedModel(model, purse=self._purse, edge=self._edge, spare=self._spare)

    async def _end(self, handler: asyncio.Task[Any]) -> None:
        """Wait for a handler that is over or cancelled, and for what was to be written of its outcomes."""
        while not handler.done():
            handler.cancel()
            await asyncio.wait({handler}, timeout=_CANCEL_AGAIN_S)
        if self._writes:
            await asyncio.wait(self._writes, timeout=_LAST_WRITES_S)
            for write in list(self._writes):
                write.cancel()

    def _out_of_time(self, effects: Effects) -> Exception:
        if effects.unsure:
            names = ", ".join(map(repr, effects.unsure))
            return TaskPermanent(f"not finished within its time, and whether {names} happened is not known")
        return TaskRetryable("not finished within its time")


async def _first(*waiting: asyncio.Future[Any]) -> None:
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


def _outcome(handler: asyncio.Task[dict[str, Any] | Exception]) -> dict[str, Any] | Exception:
    if handler.cancelled():
        return TaskRetryable("the handler cancelled itself")
    return handler.result()


def _left_s(task: RunTask, now: datetime) -> float | None:
    """Seconds that an attempt has from `now` on."""
    limits_s = [task.time_limit_s] if task.time_limit_s else []
    if task.deadline:
        limits_s.append((task.deadline - now).total_seconds())
    return min(limits_s, default=None)
