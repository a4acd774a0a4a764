"""Dispatcher: puts what is due on the bus: tasks into their queues, timers into the server's scheduler."""

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from stretto.bus.codec import encode
from stretto.bus.connection import Connection
from stretto.bus.envelope import Envelope
from stretto.bus.errors import BusError, Busy
from stretto.bus.failpoints import reach
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

_AT_ONCE: Final = 64


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

    async def mend(self) -> None:
        """Repair the queues: another server process answers now."""
        await self._queue.mend()

    async def publish(self, run: OpenRun, state: RunState, orders: Orders) -> frozenset[str]:
        """Queue the due tasks that this process has not queued yet, side by side; return the roles whose queues have no room for theirs."""
        fresh = [task for task in orders.due if _published(task) not in run.published]
        if not fresh:
            return frozenset()
        reach("supervisor.before_publish")
        if len(fresh) == 1:  # the common case, without the price of a group
            fits = await self._put(run, state, fresh[0], orders.deadline)
            full = frozenset[str]() if fits else frozenset({fresh[0].role})
        else:
            roles: dict[str, list[DueTask]] = {}
            for task in fresh:
                roles.setdefault(task.role, []).append(task)
            all_fit = await asyncio.gather(
                *(self._put_all(run, state, tasks, orders.deadline) for tasks in roles.values())
            )
            full = frozenset(role for role, fits in zip(roles, all_fit, strict=True) if not fits)
        reach("supervisor.published")
        return full

    async def await_roles(self, run: OpenRun, state: RunState, waiting: Collection[WaitingRole]) -> None:
        """Say that nobody serves these roles, and have the run looked at again when its patience ends."""
        for role in waiting:
            left_s = round((role.until - role.since).total_seconds())
            await self._tell(
                run.key, role.role, f"nobody serves {role.role}; the run fails after {left_s} s of waiting"
            )
            # Named for its time too: a role that comes and goes again has another one.
            await self.arm(run, state, TimerOrder(f"role-{role.role[:40]}-{int(role.until.timestamp())}", role.until))

    async def arm(self, run: OpenRun, state: RunState, timer: TimerOrder) -> None:
        """Set a timer of the run, once."""
        if timer.name not in run.armed:
            reach("supervisor.before_timer")
            fired = TimerFired(name=timer.name, origin_seq=state.origin_seq)
            await self._timers.arm(run.key, timer.name, timer.at, self._wrap(run.key, fired))
            run.armed.add(timer.name)

    async def _put_all(
        self, run: OpenRun, state: RunState, tasks: Sequence[DueTask], deadline: datetime | None
    ) -> bool:
        """Queue tasks of one role, until there is no room; return whether there was for all."""
        for first in range(0, len(tasks), _AT_ONCE):
            some = tasks[first : first + _AT_ONCE]
            if not all(await asyncio.gather(*(self._put(run, state, task, deadline) for task in some))):
                return False
        return True

    async def _put(self, run: OpenRun, state: RunState, due: DueTask, deadline: datetime | None) -> bool:
        request = state.request.request if state.request else None
        task = RunTask(
            shard=run.key.shard,
            task=due.task,
            attempt=due.attempt,
            role=due.role,
            input=due.input,
            scope=request.scope if request else (),
            origin_seq=state.origin_seq,
            deadline=deadline,
            time_limit_s=due.time_limit_s,
            settled=due.settled,
            ensemble=due.ensemble,
            budget=state.course.budget if state.course else None,
            conversation=state.course.conversation if state.course else None,
        )
        key = TaskKey(run.key, due.role, due.task, due.attempt)
        try:
            await self._queue.put(key, self._wrap(run.key, task), resumption=len(due.settled))
        except Busy:
            return False
        run.published.add(_published(due))
        return True

    async def _tell(self, key: RunKey, role: str, text: str) -> None:
        progress = Progress(kind="waiting", role=role, agent=self._instance, text=text)
        with contextlib.suppress(BusError):  # progress is never worth a run
            await self._connection.publish(self._subjects.progress(key, role), encode(self._wrap(key, progress)))

    def _wrap(self, key: RunKey, message: Message) -> Envelope:
        return Envelope.of(message, tenant=key.tenant, run=key.run, sender=self._instance)


def _published(due: DueTask) -> tuple[str, int, int]:
    return due.task, due.attempt, len(due.settled)
