"""Dispatcher: puts what is due on the bus: tasks into their queues, timers into the server's scheduler."""

import asyncio
import contextlib
from collections.abc import Collection

from stretto.bus.codec import encode
from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope
from stretto.bus.errors import BusError
from stretto.bus.message import Message
from stretto.bus.streams import Deployment
from stretto.bus.subjects import RunKey, TaskKey
from stretto.bus.task_queue import TaskQueue
from stretto.bus.timers import Timers
from stretto.bus.wire import Wire
from stretto.shared.contracts.progress import Progress
from stretto.shared.contracts.task import RunTask
from stretto.shared.contracts.timer import TimerFired
from stretto.supervisor.decide import DueTask, Orders, TimerOrder, WaitingRole
from stretto.supervisor.open_runs import OpenRun
from stretto.supervisor.state import RunState

__all__ = ["Dispatcher"]


class Dispatcher:
    """Carries out orders. All of it may be done again: queues and timers take the same thing once."""

    def __init__(self, *, connection: Connection, deployment: Deployment, wire: Wire, instance: str) -> None:
        self._connection = connection
        self._subjects = deployment.subjects
        self._queue = TaskQueue(connection=connection, deployment=deployment, wire=wire)
        self._timers = Timers(connection=connection, subjects=self._subjects, wire=wire)
        self._instance = instance

    async def provision(self, role: str) -> None:
        """See that the role has its queue."""
        await self._queue.provision(role)

    async def publish(self, run: OpenRun, state: RunState, orders: Orders) -> None:
        """Queue the due tasks that this process has not queued yet, side by side.

        Raises:
            Busy: a queue is full.
        """
        fresh = [task for task in orders.due if (task.task, task.attempt) not in run.published]
        if len(fresh) == 1:  # the common case, without the price of a group
            await self._put(run, state, fresh[0])
        elif fresh:
            await asyncio.gather(*(self._put(run, state, task) for task in fresh))

    async def await_roles(self, run: OpenRun, waiting: Collection[WaitingRole]) -> None:
        """Say that nobody serves these roles, and have the run looked at again when its patience ends."""
        for role in waiting:
            left_s = round((role.until - role.since).total_seconds())
            await self._tell(
                run.key, role.role, f"nobody serves {role.role}; the run fails after {left_s} s of waiting"
            )
            # Named for its time too: a role that comes and goes again has another one.
            await self.arm(run, TimerOrder(f"role-{role.role[:40]}-{int(role.until.timestamp())}", role.until))

    async def arm(self, run: OpenRun, timer: TimerOrder) -> None:
        """Set a timer of the run, once."""
        if timer.name not in run.armed:
            await self._timers.arm(run.key, timer.name, timer.at, self._wrap(run.key, TimerFired(name=timer.name)))
            run.armed.add(timer.name)

    async def _put(self, run: OpenRun, state: RunState, due: DueTask) -> None:
        request = state.request.request if state.request else None
        task = RunTask(
            shard=run.key.shard,
            task=due.task,
            attempt=due.attempt,
            role=due.role,
            input=due.input,
            scope=request.scope if request else (),
            origin_seq=state.origin_seq,
            deadline=due.deadline,
            time_limit_s=due.time_limit_s,
        )
        await self._queue.put(TaskKey(run.key, due.role, due.task, due.attempt), self._wrap(run.key, task))
        run.published.add((due.task, due.attempt))

    async def _tell(self, key: RunKey, role: str, text: str) -> None:
        progress = Progress(kind="waiting", role=role, agent=self._instance, text=text)
        with contextlib.suppress(BusError):  # progress is never worth a run
            await self._connection.publish(self._subjects.progress(key, role), encode(self._wrap(key, progress)))

    def _wrap(self, key: RunKey, message: Message) -> Envelope:
        return Envelope.of(message, tenant=key.tenant, run=key.run, sender=self._instance)
