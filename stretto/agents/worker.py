"""Worker: runs one agent as a service. It pulls tasks, has each attempted, writes what comes of it once, and acknowledges."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from stretto import __version__
from stretto.agents.agent import Agent
from stretto.agents.attempt import Attempt
from stretto.agents.ending import ending_of
from stretto.agents.gate import Stop
from stretto.agents.invocation import invoking
from stretto.agents.live_text import LiveText
from stretto.agents.outcome import failure_of
from stretto.agents.panel import PanelOf, no_panel
from stretto.agents.reporter import Reporter
from stretto.agents.withdrawals import Withdrawals
from stretto.bus.agent_card import AgentCard
from stretto.bus.connection import Connection
from stretto.bus.conventions import ATTEMPT, ROLE, TASK
from stretto.bus.dead_letters import DeadLetters
from stretto.bus.delivery import Ack, Delivery, Disposition, Hold, Nak
from stretto.bus.envelope import Envelope, open_envelope
from stretto.bus.errors import DecodeError, RetryLater, TooLarge, Unverified
from stretto.bus.failpoints import reach
from stretto.bus.hops import Handling, from_stream, tell_failure
from stretto.bus.journal import Journal
from stretto.bus.registry import Announcer
from stretto.bus.run_log import RunLog
from stretto.bus.server_clock import ServerClock
from stretto.bus.step_log import Found, StepLog
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey, TaskKey
from stretto.bus.task_queue import TaskQueue
from stretto.bus.wire import Wire
from stretto.bus.work import Work, working_on
from stretto.shared.contracts.answer import Answer
from stretto.shared.contracts.question import Question
from stretto.shared.contracts.task import RunTask, TaskResult
from stretto.shared.memory.protocol import Memory
from stretto.shared.models.chain import ModelChain
from stretto.shared.models.protocol import Hop, Model
from stretto.shared.money.purse import BudgetPurse
from stretto.shared.telemetry.counters import begin_attempts, counted_attempt
from stretto.shared.tools.protocol import Tool

__all__ = ["Worker"]

_log = logging.getLogger(__name__)
_SHOWN_AFTER_S = 0.05
"""Whoever watches is told of the start of a task that takes longer: most others would be over before they are read of."""
_WRITE_AGAIN_S = (0.25, 1.0, 2.0, 5.0, 10.0)
_LATER = Nak(delay_s=1.0)


def no_purse(_key: TaskKey, _task: RunTask) -> BudgetPurse | None:
    """Nothing is limited."""
    return None


class Worker:
    """One process's service of one role.

    `run` returns after `stop`, when the tasks in hand are done; cancelling `run` cancels them, and they come to another agent, which goes
    on where they were.

    Args:
        tools: what the agent may use beside the tools that it has itself.
        purse_of: what an attempt may spend; None where nothing limits it.
        spare: a model that costs nothing: it answers when a budget is used up whose policy is to finish.
        panel_of: opens the models of a task whose plan asks several.
        replay_grace_s: how long a handler that is run again may be busy with other things than effects while some of its branches wait for
            the others, before it is taken for one that has changed.
    """

    def __init__(
        self,
        *,
        agent: Agent[Any, Any],
        connection: Connection,
        deployment: Deployment,
        wire: Wire,
        model: Model,
        memory_of: Callable[[str], Memory],
        instance: str,
        slots: int | None = None,
        tools: Sequence[Tool] = (),
        purse_of: Callable[[TaskKey, RunTask], BudgetPurse | None] = no_purse,
        spare: Model | None = None,
        replay_grace_s: float = 5.0,
        panel_of: PanelOf = no_panel,
    ) -> None:
        self._agent = agent
        self._connection = connection
        self._subjects = deployment.subjects
        self._shards = deployment.shards
        self._wire = wire
        self._model = model
        self._memory_of = memory_of
        self._instance = instance
        self._slots = slots or agent.slots
        self._replay_grace_s = replay_grace_s
        self._panel_of = panel_of
        self._purse_of = purse_of
        self._spare = spare
        self._tools = (*agent.tools, *tools)
        self._input_schema: dict[str, Any] = agent.input_type.model_json_schema()
        self._output_schema: dict[str, Any] = agent.output_type.model_json_schema()
        self._started_at = datetime.now(UTC)
        self._beside: asyncio.TaskGroup | None = None
        self._clock = ServerClock()
        self._log = RunLog(connection=connection, subjects=self._subjects, wire=wire)
        self._dead = DeadLetters(connection=connection, subjects=self._subjects, wire=wire, sender=instance)
        self._reporter = Reporter(connection=connection, subjects=self._subjects, instance=instance)
        self._withdrawals = Withdrawals(
            connection=connection,
            subjects=self._subjects,
            wire=wire,
            role=agent.role,
            look_s=deployment.task_lease_s / 3,
        )
        queue = TaskQueue(connection=connection, deployment=deployment, wire=wire)
        self._consumer = queue.consumer(agent.role, slots=self._slots)

    async def run(self) -> None:
        """Serve the role until `stop`."""
        begin_attempts(self._agent.role)
        announcer = Announcer(connection=self._connection, subjects=self._subjects, card=self._card)
        async with asyncio.TaskGroup() as self._beside:
            beside = [self._beside.create_task(one) for one in (announcer.run(), self._withdrawals.run())]
            try:
                await self._consumer.run(self._handle)
            finally:
                for one in beside:
                    one.cancel()

    def stop(self) -> None:
        """Take no more tasks; those in hand are finished."""
        self._consumer.stop()

    def _card(self) -> AgentCard:
        return AgentCard(
            role=self._agent.role,
            instance=self._instance,
            description=self._agent.description,
            version=__version__,
            started_at=self._started_at,
            slots=self._slots,
            busy=self._consumer.busy,
            models=self._model.names if isinstance(self._model, ModelChain) else (self._model.name,),
            health=self._model.health if isinstance(self._model, ModelChain) else (),
            input_schema=self._input_schema,
            output_schema=self._output_schema,
        )

    async def _handle(self, delivery: Delivery) -> Disposition:
        self._clock.note(delivery.at)
        try:
            envelope = await self._wire.unpack(delivery.data, delivery.headers)
            task = open_envelope(envelope, RunTask)
            key = self._key(delivery, envelope, task)
        except DecodeError as error:
            _log.warning("%s: dead letter: %s", delivery.subject, error)
            return await self._dead.bury(delivery, str(error), error=error)
        conversation = task.conversation.id if task.conversation else ""
        template, told = self._subjects.task_template(), from_stream(delivery)
        if told is not None:
            told = {**told, ROLE: key.role, TASK: key.task, ATTEMPT: key.attempt}
        with (
            working_on(Work(key.run.tenant, key.run.run, key.role, key.task, key.attempt, conversation)),
            Handling(
                template,
                tenant=key.run.tenant,
                run=key.run.run,
                message_id=envelope.id,
                headers=delivery.headers,
                attributes=told,
            ),
        ):
            return await self._do(key, task, envelope)

    async def _do(self, key: TaskKey, task: RunTask, envelope: Envelope) -> Disposition:
        steps = StepLog(
            connection=self._connection,
            subjects=self._subjects,
            wire=self._wire,
            key=key,
            sender=self._instance,
            cause=envelope.id,
        )
        reach("agent.before_look")
        try:
            # At each delivery: what is acknowledged may come again, and what comes for the first time, as far as the server knows, may have
            # been begun before it crashed.
            found = await steps.look(result=TaskResult, answer=Answer)
        except RetryLater as error:
            _log.warning("how far %s %s came cannot be read now: %s", key.role, key.task, error)
            tell_failure(error)
            return _LATER
        if found.over:
            return Ack()
        attempt = self._attempt(key, task, envelope, steps, found)
        starting = asyncio.get_running_loop().call_later(_SHOWN_AFTER_S, self._tell_start, key)
        try:
            with (
                self._withdrawals.watch(attempt),
                counted_attempt(key.role, key.attempt) as count,
                invoking(self._agent, key, task.settled, instance=self._instance, found=found) as invocation,
            ):
                ended = await attempt.run()
                count(ending_of(ended))
                invocation.ended(ended)
        finally:
            starting.cancel()
        match ended:
            case TaskResult():
                disposition = await self._write(key, ended, envelope)
            case Stop.SUPERSEDED:
                # Another process has the task now, and is ahead. An acknowledgement would be taken for its own.
                disposition = Hold()
            case _:  # it waits for a person, or nobody waits for it: in both cases the run's log says so
                disposition = Ack()
        reach("agent.before_ack")
        return disposition

    def _key(self, delivery: Delivery, envelope: Envelope, task: RunTask) -> TaskKey:
        key = TaskKey(RunKey(task.shard, envelope.tenant, envelope.run), task.role, task.task, task.attempt)
        if delivery.subject != self._subjects.task(key, len(task.settled)):
            raise Unverified("the task says another tenant, run, role, task, attempt or resumption than its subject")
        if task.shard >= self._shards:
            raise DecodeError(f"the task's run is in shard {task.shard} of {self._shards}")
        return key

    def _attempt(self, key: TaskKey, task: RunTask, envelope: Envelope, steps: StepLog, found: Found) -> Attempt:
        """The attempt as far as it came."""

        async def put(question: Question) -> None:
            subject = self._subjects.question(key, question.position)
            await self._log.write_once(key.run, subject, question, self._wrap(key, question, envelope))

        async def progress(text: str) -> None:
            await self._reporter.tell(key, "note", text)

        async def write(reply: int, piece: str) -> None:
            await self._reporter.tell(key, "text", piece, reply=reply)

        async def on_hop(hop: Hop) -> None:
            await progress(f"{hop.model} is passed over ({hop.reason}): the next model is asked")

        settled = [one.position for one in task.settled]
        return Attempt(
            agent=self._agent,
            key=key,
            task=task,
            journal=Journal(
                key=key,
                store=steps,
                steps=found.steps,
                intents=found.intents,
                settled=settled,
                grace_s=self._replay_grace_s,
            ),
            model=self._model.telling(on_hop) if isinstance(self._model, ModelChain) else self._model,
            memory=self._memory_of(key.run.tenant),
            tools=self._tools,
            put=put,
            progress=progress,
            instance=self._instance,
            now=self._clock.now(),
            purse=self._purse_of(key, task),
            spare=self._spare,
            panel_of=self._panel_of,
            live=LiveText(write),
        )

    async def _write(self, key: TaskKey, result: TaskResult, cause: Envelope) -> Disposition:
        """Write the result once. While the bus is away the lease is kept and the result is not lost: it is tried again."""
        reach("agent.before_result")
        for pause_s in (*_WRITE_AGAIN_S, None):
            try:
                envelope = self._wrap(key, result, cause)
                await self._log.write_once(key.run, self._subjects.result(key), result, envelope)
            except TooLarge as error:
                result = result.model_copy(update={"output": None, "failure": failure_of(error)})
            except RetryLater as error:
                _log.warning("result of %s %s cannot be written now: %s", key.role, key.task, error)
                if pause_s is None:
                    return _LATER
                await asyncio.sleep(pause_s)
            else:
                return Ack()  # ours, or one that was first: either way the task has its result
        return _LATER

    def _wrap(self, key: TaskKey, message: TaskResult | Question, cause: Envelope) -> Envelope:
        return Envelope.of(message, tenant=key.run.tenant, run=key.run.run, sender=self._instance, cause=cause.id)

    def _tell_start(self, key: TaskKey) -> None:
        if self._beside is not None:
            self._beside.create_task(self._reporter.tell(key, "started", f"{key.role} begins"))
